"""Waits until a service of a script serves something."""

from collections.abc import Sequence

from mindspore_serving.server.calls import NotAnswered, calling
from mindspore_serving.server.child import Child
from mindspore_serving.server.children import Children
from shared.wire.health import CHECK_PATH, check_request, is_serving

_READY_SECONDS = 600.0


def wait_until_serving(
    children: Children,
    needed: Sequence[Child],
    address: str,
    servable: str,
    seconds: float = _READY_SECONDS,
) -> None:
    """Wait until ``servable`` can be called at ``address``, which needs all of ``needed``.

    Raises RuntimeError when one of them ends before, or when ``seconds`` are over.
    """
    with calling(address) as call:

        def serves() -> bool:
            try:
                return is_serving(call(CHECK_PATH, check_request(servable), 5.0))
            except NotAnswered:
                return False

        children.wait(needed, serves, seconds)
