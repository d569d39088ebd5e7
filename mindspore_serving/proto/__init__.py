"""The messages and the service of MSService, where scripts of the original import them."""
