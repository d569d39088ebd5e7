"""Scripts that run in environments of other servers."""
