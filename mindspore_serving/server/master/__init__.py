"""``server.master.context``: settings of the front door."""

from mindspore_serving.server.master import context

__all__ = ["context"]
