"""What one servable_config.py has declared so far, and which one is being imported."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.declaration_order import OldCalls
from shared.servable import Method, ModelSpec
from shared.stage_graph import Source, Stage
from shared.stage_usage import StageUsages


@dataclass(slots=True, eq=False)
class Tracing:
    """The method that is being traced."""

    method: str
    function: Callable[..., Any]
    outputs_count: int
    stages: list[Stage] = field(default_factory=list)
    old_calls: OldCalls = field(default_factory=OldCalls)

    def sources(self, values: Iterable[Any], subject: str) -> Iterator[Source]:
        """Where placeholders come from; RuntimeError in the original's words for anything else."""
        for value in values:
            if not isinstance(value, _TensorDef) or value.tracing is not self:
                raise RuntimeError(
                    f"{subject} is a placeholder for data and must come from the method inputs or"
                    " the outputs of add_stage"
                )
            yield value.source

    def placeholders(self, stage: int, count: int) -> tuple[Any, ...]:
        """One placeholder for each output of a stage, or of the method's inputs."""
        return tuple(_TensorDef(self, Source(stage, n)) for n in range(count))


class _TensorDef:
    """Stands for a value while a method is traced."""

    def __init__(self, tracing: Tracing, source: Source) -> None:
        self.tracing = tracing
        self.source = source


@dataclass(slots=True)
class Declaration:
    """Everything one servable_config.py has declared so far."""

    servable: str
    folder: Path | None = None
    """Where the file lies; None when it is run by hand."""
    methods: dict[str, Method] = field(default_factory=dict)
    models: dict[str, ModelSpec] = field(default_factory=dict)
    usages: StageUsages = field(default_factory=StageUsages)
    tracing: Tracing | None = None

    def method_being_traced(self, interface: str) -> Tracing:
        """The method in whose body ``interface`` was called; RuntimeError outside of one."""
        if self.tracing is None:
            raise RuntimeError(
                f"{interface} can only be called in a function given to register_method"
            )
        return self.tracing


_current: ContextVar[Declaration | None] = ContextVar("declaration", default=None)


def current_declaration() -> Declaration:
    """What the file that is being imported declares."""
    declaration = _current.get()
    if declaration is None:
        # The file is run by hand or by a tool: let it declare into the void.
        declaration = Declaration("servable")
        _current.set(declaration)
    return declaration


@contextmanager
def declaring(name: str, folder: Path) -> Iterator[Declaration]:
    """Whatever is declared while inside belongs to servable ``name``."""
    declaration = Declaration(name, folder)
    token = _current.set(declaration)
    try:
        yield declaration
    finally:
        _current.reset(token)
