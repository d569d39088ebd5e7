"""Servable directories: which versions there are and what they declare."""
