"""What a servable_config.py declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shared.stage_graph import FunctionCall, StageGraph


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """What was said about one type of device: values by the original's names."""

    type: str
    """``cpu``, ``gpu`` or ``ascend``."""
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How a model is wished to be run; each backend acts on what it can."""

    thread_num: int | None = None
    thread_affinity_core_list: tuple[int, ...] = ()
    enable_parallel: bool | None = None
    devices: tuple[DeviceOptions, ...] = ()
    config_file: str = ""
    """A file of MindSpore Lite: declared relative to the servable's folder, loaded by its path."""
    cores: int | None = None
    """On how many cores its calls run; None: on all that the device process may use."""

    def values_for(self, device_type: str) -> Mapping[str, str]:
        """What was said about devices of one type, case ignored."""
        return next(
            (dict(each.values) for each in self.devices if each.type == device_type.lower()), {}
        )

    def named(self, device_type: str) -> tuple[str, ...]:
        """The original's names of what was set and concerns a device of this type."""
        own = [
            ("thread_num", self.thread_num is not None),
            ("thread_affinity_core_list", bool(self.thread_affinity_core_list)),
            ("enable_parallel", self.enable_parallel is not None),
            ("config_file", bool(self.config_file)),
        ]
        # Models run with the precision of their origin anyway.
        of_device = [
            f"{device_type.lower()} {name}"
            for name, value in self.values_for(device_type).items()
            if value != "origin"
        ]
        return (*(name for name, is_set in own if is_set), *of_device)


@dataclass(frozen=True, slots=True)
class Batching:
    """How a model's rows are batched; None: as the worker's settings of the same names say."""

    preferred_batch_sizes: tuple[int, ...] = ()
    """In ascending order."""
    max_batch_size: int | None = None
    max_queue_delay_seconds: float | None = None
    priority_levels: int | None = None
    default_priority_level: int | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """How a model is cut into ranks, each of which an agent holds."""

    rank_size: int
    stage_size: int = 1
    """Ranks are cut into so many stages, in order; each takes what the one before it gives."""
    enable_pipeline_infer: bool = False
    """Whether as many batches are at work as there are stages."""
    relay_stages: bool | None = None
    """Whether the worker carries what one stage gives to the next one, which the graphs do
    otherwise; None: on CPUs, whose collectives cannot send."""

    @property
    def group_size(self) -> int:
        """Ranks of one stage."""
        return self.rank_size // self.stage_size


@dataclass(frozen=True, slots=True)
class LanguageGraphs:
    """Which of a language model's files is which, and the memory of its KV cache.

    Files are in the order of the fields: graphs for prompts, graphs for one token of each
    sequence, one that chooses the most likely token, one that finds the most likely ones.
    """

    prefill: int
    decode: int
    argmax: bool = False
    topk: bool = False
    block_size: int = 16
    """Tokens of a block."""
    blocks: int = 0
    """Of the store that prompts share."""
    tokenizer: str = ""
    """tokenizer.json: declared relative to the servable's folder, loaded by its path."""
    device_post_sampling: bool = False
    """Whether tokens are chosen by the argmax and topk graphs; NumPy is faster on a CPU."""
    decode_cores: int = 0
    """On how many cores of a CPU decode graphs run; 0: on all."""


@dataclass(frozen=True, slots=True)
class Generation:
    """How texts are continued with a language model; what is None is left to defaults."""

    max_model_len: int
    """Tokens of a text at most, prompt and completion together."""
    slots: int
    """Texts that are continued at once."""
    eos_ids: tuple[int, ...] | None = None
    """Tokens that end a text; None: as generation_config.json beside the tokenizer says."""
    chat_template: str = ""
    """A Jinja file relative to the servable's folder; empty: the tokenizer's, if it has one."""
    adapters: tuple[tuple[str, int], ...] = ()
    """Names that clients call adapters by, and their numbers in the graphs, from 1 on."""
    rules: tuple[tuple[str, int], ...] = ()
    """What was said of the scheduler, by the names of its rules."""
    patience_seconds: float = 30.0
    """So long texts wait for another agent before they end with what the last one was lost by."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model of a servable: one file, or several files that are its subgraphs."""

    key: str
    """File names joined with ';': how stages and messages name the model."""
    files: tuple[str, ...]
    format: str
    """Lower case: ``mindir``, ``reference``, ..."""
    with_batch_dim: bool
    without_batch_dim_inputs: tuple[int, ...] = ()
    options: ModelOptions = ModelOptions()
    batching: Batching = Batching()
    distribution: Distribution | None = None
    """Of a distributed model, whose files the agents of its ranks name."""
    language: LanguageGraphs | None = None
    """Of a language model, whose servable calls it by no method."""
    generation: Generation | None = None
    """Of a language model, too."""


@dataclass(frozen=True, slots=True)
class Method:
    """One callable entry of a servable."""

    name: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    graph: StageGraph
    timeout_seconds: float | None = None
    """Time of a request whose client set no deadline; None: what the door gave it."""
    max_timeout_seconds: float | None = None
    """Most time of any request; None: whatever its client asked for."""

    @property
    def is_pipeline(self) -> bool:
        """Whether it is a function that calls methods of servables."""
        return any(
            isinstance(stage.call, FunctionCall) and stage.call.is_pipeline
            for stage in self.graph.stages
        )


@dataclass(frozen=True, slots=True)
class Servable:
    """What a client calls by name."""

    name: str
    methods: Mapping[str, Method]
    models: Mapping[str, ModelSpec]

    @property
    def distribution(self) -> Distribution | None:
        """Of its distributed model, which has no other beside it."""
        return next((each.distribution for each in self.models.values()), None)

    @property
    def language_model(self) -> ModelSpec | None:
        """The one language model that it may have."""
        return next((each for each in self.models.values() if each.language), None)

    @property
    def offered(self) -> Mapping[str, Method]:
        """The methods that clients call: once there are pipelines, those alone."""
        pipelines = {name: each for name, each in self.methods.items() if each.is_pipeline}
        return pipelines or self.methods

    @property
    def has_functions(self) -> bool:
        """Whether any stage is a Python function, pipelines not counted."""
        return any(
            isinstance(stage.call, FunctionCall) and not stage.call.is_pipeline
            for method in self.methods.values()
            for stage in method.graph.stages
        )


class ServableVersion(NamedTuple):
    """A servable at one version: what is loaded, offered and routed to."""

    servable: str
    version: int

    def __str__(self) -> str:
        return f"servable '{self.servable}' version {self.version}"


def request_text(servable: str, method: str, version: int = 0) -> str:
    """What a request asks for in the original's words, a space at the end included."""
    named = f"version({version}) " if version else ""
    return f"Request servable({servable}) method({method}) {named}"
