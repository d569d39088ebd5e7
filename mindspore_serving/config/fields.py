"""(pure) Every field of the original's two kinds of configuration, and what it is for here.

One kind is a module, ``config/serving_config.py``, the other a YAML file; the names of both are in
one table. ``docs/migrating.md`` is made of it.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

from mindspore_serving.config import kinds
from mindspore_serving.config.kinds import Unfit

Kind = Literal["module", "yaml"]

_GRAPHS = "the graphs say it themselves"
_LITE = "options of the engine of MindSpore Lite; graphs run on MindSpore"
_WAITING = "nothing waits for company: who comes joins the next step"
_REQUESTS = "each request says it"
_TOKENIZER = "tokenizer.json says it"
_SCHEDULER = "there is one scheduler, with priorities of requests"


class Field(NamedTuple):
    """A field; one without effect says why."""

    name: str
    in_module: str
    """Where it is in ``serving_config.py``; empty: nowhere."""
    in_yaml: str
    read: kinds.Read = kinds.anything
    required: bool = False
    why_without_effect: str = ""

    def place(self, kind: Kind) -> str:
        """Where it is in such a configuration."""
        return self.in_module if kind == "module" else self.in_yaml


def _without(why: str, *places: tuple[str, str]) -> Iterator[Field]:
    for in_module, in_yaml in places:
        yield Field(in_yaml or in_module, in_module, in_yaml, why_without_effect=why)


FIELDS = (
    Field("prefill_model", "AgentConfig.prefill_model", "model_path.prefill_model",
          kinds.files_of_ranks, required=True),
    Field("decode_model", "AgentConfig.decode_model", "model_path.decode_model",
          kinds.files_of_ranks, required=True),
    Field("argmax_model", "AgentConfig.argmax_model", "model_path.argmax_model", kinds.file),
    Field("topk_model", "AgentConfig.topk_model", "model_path.topk_model", kinds.file),
    Field("agent_ports", "AgentConfig.AgentPorts", "serving_config.agent_ports", kinds.ports,
          required=True),
    Field("agent_ip", "AgentIP", "serving_config.agent_ip", kinds.text),
    Field("device_start", "AgentConfig.device_start", "serving_config.start_device_id",
          kinds.count(0)),
    Field("enable_host_post_sampling", "AgentConfig.enable_host_post_sampling",
          "serving_config.enable_host_post_sampling", kinds.flag),
    Field("server_ip", "SERVER_APP_HOST", "serving_config.server_ip", kinds.text),
    Field("server_port", "SERVER_APP_PORT", "serving_config.server_port", kinds.port,
          required=True),
    Field("membership_port", "AgentConfig.MembershipPort", "serving_config.membership_port",
          kinds.port),
    Field("model_name", "ModelName", "model_config.model_name", kinds.text, required=True),
    Field("max_generate_length", "Baseconfig.max_generate_length",
          "model_config.max_generate_length", kinds.count(2)),
    Field("seq_length", "Baseconfig.seq_length", "model_config.seq_length", kinds.counts(1)),
    Field("zactivate_len", "Baseconfig.zactivate_len", "model_config.zactivate_len",
          kinds.counts(1)),
    Field("end_token", "Baseconfig.end_token", "model_config.end_token", kinds.counts(0),
          required=True),
    Field("batch_size", "Baseconfig.batch_size", "", kinds.count(1)),
    Field("decode_batch_size", "Baseconfig.dyn_batch_size", "model_config.decode_batch_size",
          kinds.counts(1)),
    Field("prefill_batch_size", "Baseconfig.prefill_batch_size", "model_config.prefill_batch_size",
          kinds.counts(1)),
    Field("batching_strategy", "Baseconfig.batching_strategy", "model_config.batching_strategy",
          kinds.one_of("continuous", "static")),
    Field("tokenizer", "Baseconfig.tokenizer_path", "tokenizer.vocab_file", kinds.text,
          required=True),
    Field("page_attention", "", "model_config.page_attention", kinds.flag),
    Field("num_blocks", "PageAttentionConfig.num_blocks", "pa_config.num_blocks", kinds.count(1)),
    Field("block_size", "PageAttentionConfig.block_size", "pa_config.block_size", kinds.count(1)),
    Field("backend", "", "model_config.backend", kinds.one_of("ge")),
    *_without(
        _LITE,
        ("AgentConfig.ctx_setting", "model_path.prefill_ini"),
        ("AgentConfig.inc_setting", "model_path.decode_ini"),
        ("AgentConfig.post_model_setting", "model_path.post_model_ini"),
        ("", "model_config.model_cfg_path"),
    ),
    *_without(
        _GRAPHS,
        ("Baseconfig.vocab_size", "model_config.vocab_size"),
        ("Baseconfig.top_k_num", ""),
        ("Baseconfig.model_type", "model_config.model_type"),
        ("Baseconfig.seq_type", "model_config.seq_type"),
        ("Baseconfig.input_function", "basic_inputs.type"),
        ("", "extra_inputs.type"),
        ("", "warmup_inputs.type"),
        ("Baseconfig.slice_model", "model_config.current_index"),
        ("PageAttentionConfig.decode_seq_length", "pa_config.decode_seq_length"),
        ("", "model_config.model_dtype"),
    ),
    *_without(
        _WAITING,
        ("Baseconfig.batch_waiting_time", "model_config.batch_waiting_time"),
        ("Baseconfig.decode_batch_waiting_time", "model_config.decode_batch_waiting_time"),
        ("", "serving_config.prefill_batch_waiting_time"),
        ("", "serving_config.decode_batch_waiting_time"),
    ),
    *_without(
        _REQUESTS,
        ("Baseconfig.frequency_penalty", ""),
        ("Baseconfig.presence_penalty", ""),
        ("Baseconfig.top_p", ""),
        ("Baseconfig.max_top_k", ""),
    ),
    *_without(
        _TOKENIZER, ("Baseconfig.tokenizer", "tokenizer.type"), ("", "model_config.pad_token_id")
    ),
    *_without(
        _SCHEDULER,
        ("", "model_config.fastserve"),
        *(
            ("", f"fa_config.{each}")
            for each in (
                "time_slice", "rate", "starve_waiting_time", "use_predictor",
                "predictor_ckpt_path", "prompt_weight", "decode_weight", "device_target",
                "device_id",
            )
        ),
    ),
)  # fmt: skip
_MODULE_PARTS = ("AgentConfig", "Baseconfig", "PageAttentionConfig")


def read_fields(source: object, kind: Kind) -> dict[str, Any]:
    """What a configuration says, by the names of the fields that have an effect.

    Raises RuntimeError that names a field which is missing, or whose value cannot be used.
    """
    values = {}
    for field in FIELDS:
        place = field.place(kind)
        value = _value_at(source, place)
        if field.why_without_effect:
            continue
        if value is not None:
            values[field.name] = read_field(field, value, place)
        elif field.required and place:
            raise RuntimeError(f"{place}: it is missing")
    return values


def read_field(field: Field, value: Any, place: str) -> Any:
    """A value as it is used; raises RuntimeError naming ``place``."""
    try:
        return field.read(value)
    except Unfit as unfit:
        raise RuntimeError(f"{place}: expected {unfit}, got {value!r}") from None


def field_named(name: str) -> Field:
    """A field with an effect, by its name."""
    return next(each for each in FIELDS if each.name == name)


def warnings_of(source: object, kind: Kind) -> Iterator[str]:
    """What is said and has no effect, a line for each reason; then what nobody knows."""
    said: dict[str, list[str]] = {}
    for field in FIELDS:
        value = _value_at(source, field.place(kind))
        if field.why_without_effect and value:
            said.setdefault(field.why_without_effect, []).append(field.place(kind))
    for why, places in said.items():
        yield f"without effect ({why}): {', '.join(places)}"
    known = [each.place(kind) for each in FIELDS if each.place(kind)]
    for place in _places_of(source, kind):
        if place not in known:
            near = get_close_matches(place, known, 1)
            hint = f", did you mean {near[0]}?" if near else ""
            yield f"nobody knows {place}{hint}"


def _value_at(source: object, place: str) -> Any:
    """A field may be a key or an attribute; None: there is none."""
    value: Any = source
    for name in place.split("."):
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def _places_of(source: object, kind: Kind) -> Iterator[str]:
    parts = source if kind == "yaml" and isinstance(source, Mapping) else _MODULE_PARTS
    for part in parts:
        content = _value_at(source, part)
        names = content if isinstance(content, Mapping) else getattr(content, "__dict__", {})
        yield from (f"{part}.{name}" for name in names)
