"""An open loop: requests leave at random moments, whether earlier ones were answered or not.

h2load cannot do it for all servers: it gives every client the same script of moments, and over
HTTP/1.1 a client waits for its answer. So this is a Python process on uvloop, which is awake
within a fraction of a millisecond (``alarm``) and tells how late its requests left.
"""
