"""Signatures: PAdES with pyHanko, and the demonstration's own authority."""
