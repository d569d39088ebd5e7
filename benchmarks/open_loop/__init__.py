"""An open loop: requests leave at random moments, whether earlier ones were answered or not.

Neither h2load nor wrk does it for all servers: h2load gives every client the same script of
moments, and over HTTP/1.1 connections of both wait for their answers. So this is a Python process
on uvloop, which is awake within a fraction of a millisecond (``alarm``) and tells how late its
requests left.
"""
