"""Checks of what a servable_config.py passes, in the original's words."""

import inspect
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import PurePosixPath
from typing import Any

from shared.servable import Batching

MODEL_FORMATS = frozenset({"mindir", "mindir_opt", "mindir_lite", "om", "onnx", "reference"})


def check_text(parameter: str, value: object) -> None:
    """Refuse what is no text, and the empty one."""
    if not isinstance(value, str):
        raise RuntimeError(f"Parameter '{parameter}' should be str, but actually {type(value)}")
    if not value:
        raise RuntimeError(f"Parameter '{parameter}' should not be empty str")


def check_flag(parameter: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise RuntimeError(f"Parameter '{parameter}' should be bool, but actually {type(value)}")


def check_count(
    parameter: str, value: object, *, at_least: int, at_most: int | None = None
) -> None:
    """Refuse what is no whole number from ``at_least`` on, up to ``at_most``."""
    _check_whole(f"Parameter '{parameter}'", value, at_least, at_most)


def _check_whole(subject: str, value: object, at_least: int, at_most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RuntimeError(f"{subject} should be int, but actually {type(value)}")
    if at_most is not None and not at_least <= value <= at_most:
        raise RuntimeError(f"{subject} should be in range [{at_least},{at_most}]")
    if value < at_least:
        raise RuntimeError(f"{subject} should be >= {at_least}")


def check_seconds(parameter: str, value: object, *, above: bool) -> None:
    """Refuse what is no time in seconds from 0 on; ``above``: and 0 itself."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RuntimeError(f"Parameter '{parameter}' should be float, but actually {type(value)}")
    if not isfinite(value) or value < 0 or (above and value == 0):
        raise RuntimeError(f"Parameter '{parameter}' should be {'>' if above else '>='} 0")


def check_timeouts(timeout_seconds: object, max_timeout_seconds: object) -> None:
    """Refuse times of requests that are none, or contradict one another."""
    for parameter, value in (
        ("timeout_seconds", timeout_seconds),
        ("max_timeout_seconds", max_timeout_seconds),
    ):
        if value is not None:
            check_seconds(parameter, value, above=True)
    if (
        isinstance(timeout_seconds, int | float)
        and isinstance(max_timeout_seconds, int | float)
        and timeout_seconds > max_timeout_seconds
    ):
        raise RuntimeError(
            f"Parameter 'timeout_seconds' should be <= 'max_timeout_seconds' {max_timeout_seconds},"
            f" but actually {timeout_seconds}"
        )


def batching_of(
    *,
    with_batch_dim: bool,
    max_batch_size: int | None,
    preferred_batch_sizes: int | Sequence[int] | None,
    max_queue_delay_seconds: float | None,
    priority_levels: int | None,
    default_priority_level: int | None,
) -> Batching:
    """How a model wants to be batched; refuses what contradicts itself."""
    for parameter, count in (
        ("max_batch_size", max_batch_size),
        ("priority_levels", priority_levels),
        ("default_priority_level", default_priority_level),
    ):
        if count is not None:
            check_count(parameter, count, at_least=1)
    if max_queue_delay_seconds is not None:
        check_seconds("max_queue_delay_seconds", max_queue_delay_seconds, above=False)
    if (default_priority_level or 0) > (priority_levels or default_priority_level or 0):
        raise RuntimeError(
            "Parameter 'default_priority_level' should be <= 'priority_levels'"
            f" {priority_levels}, but actually {default_priority_level}"
        )
    preferred = _batch_sizes_of("preferred_batch_sizes", preferred_batch_sizes)
    if not with_batch_dim and (max_batch_size is not None or preferred):
        raise RuntimeError(
            "Parameters 'max_batch_size' and 'preferred_batch_sizes' need 'with_batch_dim': without"
            " it a whole tensor is one instance"
        )
    if preferred and max_batch_size is not None and preferred[-1] > max_batch_size:
        raise RuntimeError(
            f"The item value '{preferred[-1]}' in parameter 'preferred_batch_sizes' should be"
            f" <= 'max_batch_size' {max_batch_size}"
        )
    return Batching(
        preferred, max_batch_size, max_queue_delay_seconds, priority_levels, default_priority_level
    )


def _batch_sizes_of(parameter: str, value: int | Sequence[int] | None) -> tuple[int, ...]:
    sizes = indices_of(parameter, value)
    for size in sizes:
        _check_whole(f"The item value '{size}' in parameter '{parameter}'", size, 1)
    return tuple(sorted(sizes))


def names_of(parameter: str, value: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several, as a tuple of distinct texts that are not empty."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, tuple | list):
        raise RuntimeError(
            f"Parameter '{parameter}' should be str or tuple/list of str,"
            f" but actually {type(value)}"
        )
    for name in names:
        if not isinstance(name, str):
            raise RuntimeError(
                f"The item of parameter '{parameter}' should be str, but actually {type(name)}"
            )
        if not name:
            raise RuntimeError(f"The item of parameter '{parameter}' should not be empty str")
    _check_distinct(parameter, names)
    return tuple(names)


def indices_of(parameter: str, value: int | Sequence[int] | None) -> tuple[int, ...]:
    """No index, one or several, as a tuple of distinct whole numbers."""
    indices = () if value is None else (value,) if isinstance(value, int) else value
    if not isinstance(indices, tuple | list):
        raise RuntimeError(
            f"Parameter '{parameter}' should be int or tuple/list of int,"
            f" but actually {type(value)}"
        )
    _check_distinct(parameter, numbers := whole_numbers_of(parameter, indices))
    return numbers


def whole_numbers_of(parameter: str, values: Sequence[int]) -> tuple[int, ...]:
    """Whole numbers from 0 on; each may be there more than once."""
    for value in values:
        _check_whole(f"The item value '{value}' in parameter '{parameter}'", value, 0)
    return tuple(values)


def _check_distinct(parameter: str, values: Sequence[Any]) -> None:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise RuntimeError(
                f"The item value '{value}' in parameter '{parameter}' should not be repeated"
            )


def model_files_of(value: str | Sequence[str]) -> tuple[str, ...]:
    """The files of one model: names inside the version folder."""
    files = names_of("model_file", value)
    if not files:
        raise RuntimeError("Declare model failed, model file cannot be empty")
    for file in files:
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise RuntimeError(
                f"Declare model {';'.join(files)} failed, model file '{file}' must lie in the"
                " version directory"
            )
    return files


def model_format_of(value: str) -> str:
    """The format in lower case."""
    check_text("model_format", value)
    if value.lower() not in MODEL_FORMATS:
        raise RuntimeError("model format can only be OM, MindIR or MindIR_Lite, case ignored")
    return value.lower()


def check_stage_function(function: Callable[..., Any], name: str, inputs_count: int) -> None:
    """Refuse a function that cannot be called with one argument per input."""
    count = _unfit_count(function, inputs_count)
    if count is not None:
        raise RuntimeError(
            f"function {name} input args count {count} not match the count {inputs_count}"
            " registered in method"
        )


def check_batch_function(function: Callable[..., Any], name: str) -> None:
    """Refuse a function that cannot be called with the instances as its one argument."""
    count = _unfit_count(function, 1)
    if count is not None:
        raise RuntimeError(
            f"function {name} input args count {count} not match the count 1: with 'batch_size' it"
            " gets one argument, the instances"
        )


def _unfit_count(function: Callable[..., Any], arguments: int) -> int | None:
    """How many parameters a function has that cannot take so many arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function written in C need not have one
        return None
    try:
        signature.bind(*range(arguments))
    except TypeError:
        return len(signature.parameters)
    return None


def input_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a method's inputs; refuses parameters that are no plain ones."""
    kinds = inspect.Parameter
    forbidden = {
        kinds.VAR_POSITIONAL: "VAR_POSITIONAL",
        kinds.VAR_KEYWORD: "VAR_KEYWORD",
        kinds.KEYWORD_ONLY: "KEYWORD_ONLY",
    }
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        if parameter.kind in forbidden:
            raise RuntimeError(
                f"'{function.__name__}' input {name} cannot be {forbidden[parameter.kind]} !"
            )
    return tuple(parameters)
