"""One verb per function; the transaction belongs to the caller."""
