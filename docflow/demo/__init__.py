"""A made-up district works a day, on real services: what `docflow demo` plays."""
