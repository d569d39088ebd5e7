"""What users of Mindserve import: the client, the server, and the words of servable_config.py."""

from mindspore_serving import log

__all__ = ["log"]
__version__ = "0.1.0"
