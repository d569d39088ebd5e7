"""A closed loop: so many requests are in flight, and each answer makes room for the next one.

Over HTTP/2 h2load keeps them there; over HTTP/1.1, where it falls behind fast servers, wrk.
"""
