"""The three services, each a program: ``python -m services.master|worker|agent``."""

import os

# Services start other programs but never fork themselves; without this gRPC says so
# on standard error each time. It must be set before gRPC is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
