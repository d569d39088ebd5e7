"""A closed loop: so many requests are in flight, and each answer makes room for the next one.

h2load keeps them there over HTTP/2. Over HTTP/1.1 it is wrk, which runs for seconds instead of a
number of requests that has to be guessed, and can check each answer's length.
"""
