"""Named reads: each returns what its caller needs, in one round trip."""
