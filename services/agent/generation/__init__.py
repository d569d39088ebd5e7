"""Language models in a device process: graphs, the KV cache, and how tokens are chosen."""
