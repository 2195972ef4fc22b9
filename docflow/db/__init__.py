"""Tables and named reads."""
