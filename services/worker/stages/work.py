"""One stage of one request, as whoever calls its function gets it."""

from dataclasses import dataclass

from services.worker.stages.messages import StagePlace
from services.worker.stages.model_calls import Models
from shared.stage_graph import FunctionCall, Stage
from shared.urgency import Urgency


@dataclass(frozen=True, slots=True, eq=False)
class StageWork:
    """What all parts of a request have in common at one of its Python stages."""

    request: int
    """Its number: a lower one came earlier."""
    place: StagePlace
    stage: Stage
    where: str
    """What the texts of its failures begin with."""
    models: Models
    """Answer what the function asks with ``Model.call``, as urgently as the request."""
    urgency: Urgency
    read_again: tuple[int, ...] = ()
    """Numbers of the inputs that are read after it too: what it changes in place is seen there."""

    @property
    def call(self) -> FunctionCall:
        assert isinstance(self.stage.call, FunctionCall)
        return self.stage.call
