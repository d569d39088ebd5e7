"""(pure) The document's four steps: their stage times, their ideals, what was measured."""

from dataclasses import dataclass

from benchmarks.seed_steps.functions import POSTPROCESS_SECONDS, PREPROCESS_SECONDS

PREPROCESS_MS, POSTPROCESS_MS = 1e3 * PREPROCESS_SECONDS, 1e3 * POSTPROCESS_SECONDS
DEVICE_MS = 2.15
IMAGES = 100
"""Of one request."""
WITHIN = 1.10
"""A step reaches its goal within this many times its ideal."""


@dataclass(frozen=True, slots=True)
class Step:
    """One way to deploy the same model and the same functions."""

    number: int
    what: str
    workers: int
    """Processes that run Python stages; 0: the client does it, before and after its request."""
    devices: int
    document_ms: float
    """What the document measured on its machine, ms per image."""
    most_ms: float = float("inf")
    """A goal of its own beside that for all steps."""

    @property
    def ideal_ms(self) -> float:
        """Milliseconds per image of a perfect pipeline."""
        functions = PREPROCESS_MS + POSTPROCESS_MS
        if not self.workers:
            return functions + DEVICE_MS / self.devices
        return max(functions / self.workers, DEVICE_MS / self.devices)

    @property
    def goal_ms(self) -> float:
        return min(WITHIN * self.ideal_ms, self.most_ms)

    @property
    def method(self) -> str:
        """What clients of this step call."""
        return "classify" if self.workers else "score"


STEPS = (
    Step(1, "client-side preprocessing", 0, 1, 17.88),
    Step(2, "server-side", 1, 1, 13.43),
    Step(3, "two devices", 2, 2, 6.93),
    Step(4, "two devices, four extra workers", 6, 2, 3.49, most_ms=2.3),
)


@dataclass(frozen=True, slots=True)
class Payload:
    """What an image weighs."""

    key: str
    what: str
    file_bytes: tuple[int, ...]
    """Of the encoded images, in turn."""
    floats: int
    """Of a preprocessed one."""


PAYLOADS = (
    Payload("times", "images of 64 bytes, tensors of 16 floats: the stage times alone", (64,), 16),
    Payload(
        "bytes", "the document's bytes: images of 48, 79, 330 and 83 KB, tensors of 3x224x224 "
        "floats (600 KB)", (48_000, 79_000, 330_000, 83_000), 3 * 224 * 224,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepTime:
    """One request of one step."""

    payload: str
    step: int
    round: int
    ms_per_image: float
    server_cpu_ms: float
    """CPU time of all the server's processes, per image."""
    others_cores: float
    """Cores that neither the server nor the client kept busy meanwhile."""


@dataclass(frozen=True, slots=True)
class BareTime:
    """One request's worth of images by the bare processes of a step."""

    step: int
    round: int
    ms_per_image: float


@dataclass(frozen=True, slots=True)
class Turn:
    """The real model called by the loop and by way of all services, for as many images."""

    round: int
    images: int
    loop_per_second: float
    stack_per_second: float

    @property
    def ratio(self) -> float:
        return self.stack_per_second / self.loop_per_second
