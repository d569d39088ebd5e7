"""Where version 1.2 had ``mindspore_serving.server.master.context``."""

from mindspore_serving.server.master.context import set_max_enqueued_requests

__all__ = ["set_max_enqueued_requests"]
