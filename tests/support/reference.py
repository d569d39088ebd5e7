"""Model files of the reference backend."""

import json
from collections.abc import Sequence


def reference_model(
    function: str,
    inputs: Sequence[str] = ("x1",),
    *,
    dims: Sequence[int] = (-1, 2),
    **more: object,
) -> str:
    """What stands in one: inputs and one output, all alike; ``more`` goes in as it is."""
    tensor = {"dtype": "float32", "dims": list(dims)}
    described = {
        "function": function,
        "inputs": [{"name": name, **tensor} for name in inputs],
        "outputs": [{"name": "y", **tensor}],
    }
    return json.dumps(described | more)
