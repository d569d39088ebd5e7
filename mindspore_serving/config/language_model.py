"""A language model as the configuration of the original describes it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mindspore_serving import log
from mindspore_serving.config.fields import Kind, field_named, read_field, read_fields, warnings_of
from mindspore_serving.config.kinds import MOST_PORT, FilesOfRanks
from shared.addresses import HostPort

_LOCALHOST = "localhost"
_LOOPBACK = "127.0.0.1"
# The original wrapped prompts of these in a dialogue, by the name of the model.
_WRAPPED = ("internlm", "baichuan2")
Place = Callable[[str], str]
"""Where a field is, by its name."""


@dataclass(frozen=True, slots=True)
class LanguageModelConfig:
    """What is to be served, and where; files are there and can be read."""

    name: str
    """What clients call it: llama2, or internlm."""
    prefill: FilesOfRanks
    """Graphs for prompts, of each rank: absolute paths."""
    decode: FilesOfRanks
    tokenizer: str
    """tokenizer.json"""
    argmax: str | None
    topk: str | None
    agents: tuple[HostPort, ...]
    """Where the agent of each rank listens."""
    first_device: int
    server: HostPort
    """Where clients call."""
    membership: HostPort
    """Where the worker finds the server."""
    declared: Mapping[str, Any]
    """What ``declare_language_model`` is told beside the files."""

    @classmethod
    def of_yaml(cls, config: Mapping[str, Any]) -> Self:
        """Raises RuntimeError naming the key that is missing or whose value cannot be used."""
        return cls._of(read_fields(config, "yaml"), "yaml")

    @classmethod
    def of_module(cls, module: object, arguments: Mapping[str, Any] | None = None) -> Self:
        """Of ``config/serving_config.py``; arguments of ``startup_agents`` stand before it.

        Raises RuntimeError naming the field that is missing or whose value cannot be used.
        """
        values = read_fields(module, "module")
        for name, value in (arguments or {}).items():
            field = field_named(name)
            if value is None and not field.required:
                values.pop(name, None)
            else:
                values[name] = read_field(field, value, f"Parameter '{name}'")
        return cls._of(values, "module")

    @classmethod
    def _of(cls, values: Mapping[str, Any], kind: Kind) -> Self:
        def place(name: str) -> str:
            return field_named(name).place(kind)

        ports = values["agent_ports"]
        for name in ("prefill_model", "decode_model"):
            if len(values[name]) != len(ports):
                raise RuntimeError(
                    f"{place(name)}: expected a model for each of {len(ports)}"
                    f" {place('agent_ports')}, got {len(values[name])}"
                )
        if values["server_port"] in ports:
            raise RuntimeError(
                f"{place('server_port')}: expected none of {place('agent_ports')}, got"
                f" {values['server_port']}"
            )
        agent_ip = _by_number(values.get("agent_ip", _LOCALHOST))
        return cls(
            name="internlm" if values["model_name"].startswith("internlm") else "llama2",
            prefill=_readable(place("prefill_model"), values["prefill_model"]),
            decode=_readable(place("decode_model"), values["decode_model"]),
            tokenizer=_tokenizer(place("tokenizer"), values["tokenizer"]),
            argmax=_chooser(place("argmax_model"), values.get("argmax_model")),
            topk=_chooser(place("topk_model"), values.get("topk_model")),
            agents=tuple(HostPort(agent_ip, each) for each in ports),
            first_device=values.get("device_start", 0),
            server=HostPort(_by_number(values.get("server_ip", _LOCALHOST)), values["server_port"]),
            membership=HostPort(_LOOPBACK, _membership_port(values, place)),
            declared=_declared(values, place),
        )


def warn(source: object, kind: Kind) -> None:
    """Log what a configuration says in vain."""
    for line in warnings_of(source, kind):
        log.warning("%s", line)
    name = str(read_fields(source, kind)["model_name"])
    if name.startswith(_WRAPPED):
        log.warning(
            "prompts of '%s' are taken as they are; clients wrap them, or use"
            " /v1/chat/completions with a chat template",
            name,
        )


def _by_number(host: str) -> str:
    """Services listen at one address, of those that the name has."""
    return _LOOPBACK if host == _LOCALHOST else host


def _membership_port(values: Mapping[str, Any], place: Place) -> int:
    """As it is said, or the first behind those of the agents that is not the server's."""
    ports, server = values["agent_ports"], values["server_port"]
    if "membership_port" not in values:
        after = max(ports) + 1
        port = after + 1 if after == server else after
        if port > MOST_PORT:
            raise RuntimeError(
                f"{place('membership_port')}: it is missing, and there is no port after"
                f" {max(ports)}, the last of {place('agent_ports')}"
            )
        return int(port)
    if values["membership_port"] in (*ports, server):
        raise RuntimeError(
            f"{place('membership_port')}: expected a port that nobody has, got"
            f" {values['membership_port']}"
        )
    return int(values["membership_port"])


def _declared(values: Mapping[str, Any], place: Place) -> dict[str, Any]:
    sizes = values.get("decode_batch_size") or (values.get("batch_size"),)
    if sizes[0] is None:
        raise RuntimeError(f"{place('decode_batch_size')}: it is missing")
    declared: dict[str, Any] = {
        "eos_ids": list(values["end_token"]),
        "max_model_len": _longest(values, place),
        "slots": max(sizes),
        "continuous": values.get("batching_strategy", "continuous") == "continuous",
        "device_post_sampling": not values.get("enable_host_post_sampling", False),
    }
    if "prefill_batch_size" in values:
        declared["max_prefill_batch"] = values["prefill_batch_size"][0]
    if values.get("page_attention", True):
        if "num_blocks" in values:
            declared["blocks"] = values["num_blocks"]
        if "block_size" in values:
            declared["block_size"] = values["block_size"]
    return declared


def _longest(values: Mapping[str, Any], place: Place) -> int:
    """Tokens of prompt and completion together."""
    if "max_generate_length" in values:
        return int(values["max_generate_length"])
    for name in ("zactivate_len", "seq_length"):
        if name in values:
            return int(max(values[name]))
    raise RuntimeError(f"{place('max_generate_length')}: it is missing")


def _readable(place: str, ranks: FilesOfRanks) -> FilesOfRanks:
    return tuple(tuple(_path(place, each) for each in files) for files in ranks)


def _chooser(place: str, file: str | None) -> str | None:
    return None if file is None else _path(place, file)


def _path(place: str, file: str) -> str:
    """As in the original, relative paths are those of the working directory."""
    path = Path(file).resolve()
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise RuntimeError(f"{place}: expected a file that can be read, got '{file}'")
    return str(path)


def _tokenizer(place: str, given: str) -> str:
    """``tokenizer.json``: itself, in a folder, or beside a model of SentencePiece."""
    path = Path(given).resolve()
    folder = path if path.is_dir() else path.parent
    found: Sequence[Path] = (path,) if path.suffix == ".json" else (folder / "tokenizer.json",)
    for each in found:
        if each.is_file() and os.access(each, os.R_OK):
            return str(each)
    raise RuntimeError(
        f"{place}: expected a tokenizer.json, a folder with one, or a file beside one, got"
        f" '{given}'"
    )
