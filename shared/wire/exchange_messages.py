"""What both sides of an exchange agree on beyond ``exchange.proto``."""

from protos.serving.v1 import exchange_pb2
from shared.regions import Region

# One write carries at most this much, so that a small call never waits long
# behind others that were ready at the same moment.
WRITE_CALLS = 64
WRITE_BYTES = 1 << 20
# From here on a payload is a message of its own: protobuf would copy it at every turn.
ATTACHED_BYTES = 32 << 10
# On one host larger payloads lie in memory that both sides map, unless they are so large that
# the regions that are kept for the next ones would be too much.
SHARED_FROM_BYTES, SHARED_TO_BYTES = 64 << 10, 4 << 20
MOST_REGIONS = 32


def write_region(region: Region) -> exchange_pb2.Region:
    """A region in a message."""
    return exchange_pb2.Region(pid=region.pid, fd=region.fd, nonce=region.nonce)


def read_region(message: exchange_pb2.Region) -> Region:
    """The region that a message names."""
    return Region(message.pid, message.fd, message.nonce)
