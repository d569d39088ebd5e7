"""Rank tables: on which machine and device each rank of a distributed model runs.

Two forms of JSON are read, as the original does (MindSpore Serving 1.2 to 2.0):
``server_list`` with devices, and ``group_list`` with instances, which is looked for first.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import LoadFailed

# What one Ascend machine has.
_CARDS = 8


@dataclass(frozen=True, slots=True)
class RankPlace:
    """Where one rank runs."""

    rank: int
    ip: str
    device_id: int


class _Fault(Exception):
    """What is wrong, and at which place of the file."""


def read_rank_table(text: str, file: str) -> tuple[RankPlace, ...]:
    """The places of all ranks, in order of rank; ``file`` is what errors call it.

    Raises LoadFailed naming file, field and rank.
    """
    try:
        return tuple(_places(text))
    except _Fault as fault:
        raise LoadFailed(f"Rank table file '{file}': {fault}") from None


def check_places(
    places: Sequence[RankPlace], file: str, rank_size: int, stage_size: int, device_type: str
) -> None:
    """Whether the declared model can run there; raises LoadFailed in the original's words."""
    if rank_size % stage_size:
        raise LoadFailed(
            "Rank size must be an integral multiple of stage size,"
            f" rank size: {rank_size}, stage size: {stage_size}"
        )
    if len(places) != rank_size:
        raise LoadFailed(
            f"Rank size {len(places)} declared in rank table file '{file}' not equal to"
            f" {rank_size} declared in servable config"
        )
    try:
        _check_distinct(places)
        if device_type == "Ascend":
            _check_cards(places, stage_size)
    except _Fault as fault:
        raise LoadFailed(f"Rank table file '{file}': {fault}") from None


def _check_distinct(places: Sequence[RankPlace]) -> None:
    for (ip, device_id), count in Counter((each.ip, each.device_id) for each in places).items():
        if count > 1:
            ranks = [each.rank for each in places if (each.ip, each.device_id) == (ip, device_id)]
            raise _Fault(
                f"device id repeatedly used by rank {ranks[-1]} in device ip {ip}:"
                f" device {device_id} is the one of rank {ranks[0]} already"
            )


def _check_cards(places: Sequence[RankPlace], stage_size: int) -> None:
    for each in places:
        if each.device_id >= _CARDS:
            raise _Fault(
                f"device id cannot be larger than {_CARDS - 1}, but that of rank {each.rank}"
                f" is {each.device_id}"
            )
    if stage_size == 1:
        return
    if len(places) < _CARDS:
        raise _Fault(
            f"Rank size {len(places)} must >= card count {_CARDS} of one machine"
            f" when stage size {stage_size} > 1"
        )
    for each in places:
        first = places[each.rank - each.rank % _CARDS]
        if each.ip != first.ip or each.device_id != each.rank % _CARDS:
            raise _Fault(
                f"with several stages each {_CARDS} ranks fill one machine, devices 0 to"
                f" {_CARDS - 1} in order: rank {each.rank} belongs on device"
                f" {each.rank % _CARDS} of {first.ip}, got device {each.device_id} of {each.ip}"
            )


def _places(text: str) -> Iterator[RankPlace]:
    try:
        table = json.loads(text)
    except ValueError as failure:
        raise _Fault(f"parse error: {failure}") from None
    if not isinstance(table, dict):
        raise _Fault("it is not json object")
    devices = _grouped(table) if "group_list" in table else _served(table)
    for expected, (where, ip, owner, device) in enumerate(devices):
        rank = _number(owner, "rank_id", where, f"of the rank expected to be {expected}")
        if rank != expected:
            raise _Fault(
                f"device size not match rank_id: {where} should be rank {expected}, got {rank}"
            )
        yield RankPlace(rank, ip, _number(device, "device_id", where, f"of rank {rank}"))


_Device = tuple[str, str, dict[str, Any], dict[str, Any]]


def _served(table: dict[str, Any]) -> Iterator[_Device]:
    """Where in the file, the machine, and the objects with rank_id and device_id."""
    for server_at, server in _objects(table, "server_list", ""):
        ip = _text(server, "server_id", server_at, "")
        for where, device in _objects(server, "device", server_at):
            yield where, ip, device, device


def _grouped(table: dict[str, Any]) -> Iterator[_Device]:
    for group_at, group in _objects(table, "group_list", ""):
        for where, instance in _objects(group, "instance_list", group_at):
            ip = _text(instance, "server_id", where, "")
            _, device = next(_objects(instance, "devices", where))
            yield where, ip, instance, device


def _objects(owner: dict[str, Any], key: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    at = f"{where}.{key}".lstrip(".")
    if key not in owner:
        raise _Fault(f"{at} in file is not find")
    many = owner[key]
    if not isinstance(many, list):
        raise _Fault(f"{at} in file is not array")
    if not many:
        raise _Fault(f"{at} attr is empty")
    for index, each in enumerate(many):
        if not isinstance(each, dict):
            raise _Fault(f"{at}[{index}] in file is not json object")
        yield f"{at}[{index}]", each


def _text(owner: dict[str, Any], key: str, where: str, whose: str) -> str:
    named = f"{where}.{key} {whose}".rstrip()
    if key not in owner:
        raise _Fault(f"{named} in file is not find")
    text = owner[key]
    if not isinstance(text, str):
        raise _Fault(f"{named} in file is not string")
    if not text:
        raise _Fault(f"{named} attr is empty")
    return text


def _number(owner: dict[str, Any], key: str, where: str, whose: str) -> int:
    text = _text(owner, key, where, whose)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _Fault(f"{where}.{key} {whose} attr is invalid argument: '{text[:40]}'")
    return int(text)
