"""Measurements as ratios in one run: the engine beside the floor, beside a plain ORM peer, and over HTTP."""
