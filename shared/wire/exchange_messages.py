"""What both sides of an exchange agree on beyond ``exchange.proto``."""

# One write carries at most this much, so that a small call never waits long
# behind others that were ready at the same moment.
WRITE_CALLS = 64
WRITE_BYTES = 1 << 20
# From here on a payload is a message of its own: protobuf would copy it at every turn.
ATTACHED_BYTES = 32 << 10
