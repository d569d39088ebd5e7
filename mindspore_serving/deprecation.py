"""One log line per process for each name that scripts should no longer use."""

from mindspore_serving import log

_said: set[str] = set()


def say_deprecated(name: str, since: str, instead: str) -> None:
    """Log, the first time only, that ``name`` is deprecated and what to use instead."""
    if name not in _said:
        _said.add(name)
        log.warning("'%s' is deprecated since version %s, use '%s' instead", name, since, instead)
