"""Gangs: the ranks that together serve one distributed model."""
