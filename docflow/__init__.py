"""The open document-flow engine."""
