"""gRPC over HTTP/2 in Python: a protocol core without I/O, and asyncio around it.

Sources: RFC 9113 (HTTP/2), RFC 7541 (HPACK, by the ``hpack`` library), and
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""
