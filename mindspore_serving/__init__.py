"""What users of Mindserve import: the client, the server, and the words of servable_config.py."""

import os

from mindspore_serving import log

__all__ = ["log"]
__version__ = "0.1.0"

# Read by gRPC when it is imported. Without it a process that was forked by one that has a client
# waits for ever in its own.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")
