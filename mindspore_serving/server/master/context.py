"""What the front door is told before it opens."""

from shared import declaration_arguments as arguments

__all__ = ["set_max_enqueued_requests"]

_limits = {"max_enqueued_requests": 10000}


def set_max_enqueued_requests(max_enqueued_requests: int) -> None:
    """Let at most so many requests (not instances) be in progress; 10000 unless set.

    It holds for doors that are opened afterwards. The next request is refused: "enqueued
    requests count exceeds the limit". Raises RuntimeError for what is no int from 1 on.
    """
    arguments.check_count("max_enqueued_requests", max_enqueued_requests, at_least=1)
    _limits["max_enqueued_requests"] = max_enqueued_requests


def max_enqueued_requests() -> int:
    """What was set last."""
    return _limits["max_enqueued_requests"]
