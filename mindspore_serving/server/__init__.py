"""The server side of a user's scripts."""

from mindspore_serving.server import register

__all__ = ["register"]
