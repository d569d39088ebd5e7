"""(pure) How our services are told to serve the model: all improvements on, or one of them off."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.generation.shapes import CHUNK, FITTED, LONGEST, PROMPTS, ROWS, Shape

CONFIG = """from mindspore_serving.server import register

register.declare_language_model(
    {prefill!r},
    {decode!r},
    {arguments},
)
"""
COMMON: Mapping[str, Any] = {
    "eos_ids": [],
    "max_model_len": LONGEST,
    "slots": ROWS,
    # A batch of prompts in one step.
    "token_budget": 1024,
    "max_prefill_batch": ROWS,
    # More do not compute these graphs faster, and services need some.
    "decode_cores": 1,
    # Rounds ask for the same texts again, which is not what is measured.
    "prefix_cache": False,
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """A servable of its own."""

    name: str
    """Of the servable."""
    what: str
    """What is off."""
    fused: bool = True
    """Whether graphs say themselves which logits are the largest."""
    changed: Mapping[str, Any] = field(default_factory=dict)
    """What is declared otherwise."""
    rows: tuple[int, ...] = (1, ROWS)
    """Of decode graphs."""
    prompts: tuple[int, ...] = PROMPTS
    """Rows of prefill graphs."""
    lengths: tuple[int, ...] = (FITTED, LONGEST)

    @property
    def prefill(self) -> list[Shape]:
        """Graphs that it can use, and for the longest texts as many as there must be."""
        return self._graphs(self.prompts, CHUNK, self.prompts[:1])

    @property
    def decode(self) -> list[Shape]:
        return self._graphs(self.rows, 1, self.rows[-1:])

    def _graphs(self, rows: tuple[int, ...], tokens: int, longest: tuple[int, ...]) -> list[Shape]:
        if self.lengths == (LONGEST,):
            longest = rows
        shapes = [Shape(each, tokens, FITTED) for each in rows if FITTED in self.lengths]
        return [*shapes, *(Shape(each, tokens, LONGEST) for each in longest)]

    def config(self) -> str:
        """The servable_config.py."""
        said = {**COMMON, **self.changed}
        return CONFIG.format(
            prefill=[each.file for each in self.prefill],
            decode=[each.file for each in self.decode],
            arguments=", ".join(f"{key}={value!r}" for key, value in said.items()),
        )


_ONE = {"slots": 1, "max_prefill_batch": 1}
_ARGMAX_GRAPH = {"argmax_model": "argmax.mindir", "device_post_sampling": True}
ON = Configuration("all_on", "nothing")
CONFIGURATIONS = (
    ON,
    Configuration(
        "one_slot", "decode batch: one text after the other",
        changed=_ONE, rows=(1,), prompts=(1,),
    ),
    Configuration(
        "static", "continuous batching: a batch ends before the next starts",
        changed={"continuous": False},
    ),
    Configuration(
        "one_prompt", "multi-prompt prefill", changed={"max_prefill_batch": 1}, prompts=(1,)
    ),
    Configuration(
        "longest", "length-fitted buckets: graphs for the longest texts alone",
        changed={"length_fitted": False}, lengths=(LONGEST,),
    ),
    Configuration("all_cores", "decode graphs on one core", changed={"decode_cores": None}),
    Configuration("argmax_graph", "fused argmax: a graph of its own", False, _ARGMAX_GRAPH),
    Configuration("numpy_argmax", "fused argmax: NumPy finds the largest", False),
    Configuration(
        "all_off", "all of them", False, {**_ONE, **_ARGMAX_GRAPH, "length_fitted": False},
        (1,), (1,), (LONGEST,),
    ),
)  # fmt: skip
"""The four improvements that users of the original found, each switched off by itself."""
