"""The front door: admits, routes and forwards requests; holds no model."""
