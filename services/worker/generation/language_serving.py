"""The language model of a servable version: what it was declared with, and its engines."""

from collections.abc import Mapping
from dataclasses import asdict

from services.worker.generation.counts import Counts
from services.worker.generation.declared import declared_of
from services.worker.generation.engines import Engines
from services.worker.generation.step_lines import StepLine
from services.worker.language.files import Language
from shared.errors import LoadFailed
from shared.membership import LanguageOffer, ModelSignature
from shared.servable import Generation, LanguageGraphs, ModelSpec, ServableVersion
from shared.tasks import TaskScope


class LanguageServing:
    """Gets its engines once agents have told what the graphs are."""

    def __init__(
        self,
        what: ServableVersion,
        model: ModelSpec,
        language: Language,
        scope: TaskScope,
        handicaps: tuple[float, ...],
    ) -> None:
        assert model.language is not None
        assert model.generation is not None
        self._what = what
        self._key = model.key
        self._graphs: LanguageGraphs = model.language
        self._scope = scope
        self._handicaps = handicaps
        self.generation: Generation = model.generation
        self.language = language
        self.adapters = dict(model.generation.adapters)
        self.engines: Engines | None = None

    def fit(self, signatures: Mapping[str, ModelSignature]) -> None:
        """Raises LoadFailed when the loaded graphs are too small for what was declared."""
        declared = declared_of(
            str(self._what), self._graphs, self.generation, signatures[self._key], self._handicaps
        )
        largest = max(self.language.eos_ids, default=0)
        if largest >= declared.rules.vocabulary:
            raise LoadFailed(
                f"{self._what}: token {largest} is to end texts, but the model has ids below"
                f" {declared.rules.vocabulary}"
            )
        self.engines = Engines(self._what, self._key, declared, self._scope)

    @property
    def figures(self) -> dict[str, float]:
        """How it is now, by the names of the metrics."""
        engines = self.engines
        counts = Counts() if engines is None else engines.counts
        return asdict(counts) | {
            "running": engines.running if engines else 0,
            "waiting": engines.waiting if engines else 0,
            "hand_overs_waiting": engines.held if engines else 0,
            "cache_use": engines.cache_use if engines else 0.0,
        }

    def refresh(self, lines: Mapping[str, StepLine]) -> None:
        """Agents changed: these hold the model now."""
        if self.engines is not None:
            self.engines.refresh(lines)

    def close(self) -> None:
        """It is served no more."""
        if self.engines is not None:
            self.engines.close()

    def offer(self, device_type: str) -> LanguageOffer:
        """What clients may know of it."""
        return LanguageOffer(
            tuple(self.adapters),
            self.generation.max_model_len,
            self.generation.slots,
            self.language.template is not None,
            self.language.created,
            device_type,
        )
