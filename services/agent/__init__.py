"""Owns one device: serves batches, supervises the device processes that run them."""
