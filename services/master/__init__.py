"""The front door: decides who gets a request."""
