"""Walks a request's instances through a method's stages."""
