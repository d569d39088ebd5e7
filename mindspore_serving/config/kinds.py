"""(pure) What values a field of a configuration takes; each reader raises Unfit for others."""

from collections.abc import Callable
from typing import Any

Read = Callable[[Any], Any]
FilesOfRanks = tuple[tuple[str, ...], ...]
"""Paths, of each rank."""

MOST_PORT = 65535


class Unfit(Exception):
    """Says what was expected."""


def anything(value: Any) -> Any:
    """Whatever it is."""
    return value


def flag(value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise Unfit("True or False")
    return value


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise Unfit("a text that is not empty")
    return value


def one_of(*choices: str) -> Read:
    """One of some texts."""

    def read(value: Any) -> str:
        if value not in choices:
            raise Unfit(" or ".join(f"'{each}'" for each in choices))
        return str(value)

    return read


def count(least: int, most: int | None = None) -> Read:
    """An integer."""
    expected = f"an integer of at least {least}" if most is None else f"an integer {least}-{most}"

    def read(value: Any) -> int:
        if not _is_count(value, least, most):
            raise Unfit(expected)
        return int(value)

    return read


def counts(least: int, most: int | None = None) -> Read:
    """An integer, or several in a list."""
    each = f"at least {least}" if most is None else f"{least}-{most}"

    def read(value: Any) -> tuple[int, ...]:
        several = value if isinstance(value, list | tuple) else [value]
        if not several or not all(_is_count(one, least, most) for one in several):
            raise Unfit(f"an integer of {each}, or a list of them")
        return tuple(several)

    return read


port = count(1, MOST_PORT)


def ports(value: Any) -> tuple[int, ...]:
    """A list of ports, one of each rank."""
    if (
        not isinstance(value, list | tuple)
        or not value
        or not all(_is_count(each, 1, MOST_PORT) for each in value)
        or len(set(value)) < len(value)
    ):
        raise Unfit(f"a list of different ports 1-{MOST_PORT}, one for each rank")
    return tuple(value)


def file(value: Any) -> str:
    """A path, or a list whose first is used."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    if not isinstance(first, str) or not first:
        raise Unfit("a path, or a list with one")
    return first


def files_of_ranks(value: Any) -> FilesOfRanks:
    """A list with one path for each rank, or a list of the paths of its graphs."""
    ranks = [value] if isinstance(value, str) else value
    if isinstance(ranks, list | tuple) and ranks:
        read = tuple(
            (each,) if isinstance(each, str) else tuple(each)
            for each in ranks
            if isinstance(each, str | list | tuple)
        )
        if len(read) == len(ranks) and all(_are_paths(paths) for paths in read):
            return read
    raise Unfit("a list with a path for each rank, or with a list of paths for each rank")


def _are_paths(paths: tuple[Any, ...]) -> bool:
    return bool(paths) and all(isinstance(each, str) and each for each in paths)


def _is_count(value: Any, least: int, most: int | None) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return value >= least and (most is None or value <= most)
