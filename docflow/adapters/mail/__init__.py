"""Mail in and out. Kept empty: the parse worker imports this package and must start quickly."""
