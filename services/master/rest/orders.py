"""(pure) What operators ask by URL and JSON, and what they are answered."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from services.master.labels import Label, LabelStatus
from services.master.rest.statuses import MethodNotAllowed
from shared.errors import InvalidRequest, NotServed
from shared.repository import Inventory, Order

_PATH = re.compile(
    r"/servables(?:/(?P<servable>[^/]+)"
    r"(?:(?:/version/(?P<version>[1-9][0-9]{0,17}))?/(?P<action>load|unload)|/(?P<labels>labels))?)?"
)
_SHAPE = "/servables[/NAME[/labels]] or /servables/NAME[/version/N]/load or .../unload"


class Asked(NamedTuple):
    """What a request wants: ``index``, ``load``, ``unload``, ``labels`` or ``set labels``."""

    action: str
    order: Order


def read_asked(method: str, path: str) -> Asked:
    """What a method and a path (as it came) ask for.

    Raises NotServed for other paths, MethodNotAllowed and InvalidRequest.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise NotServed(f"please check url, expected {_SHAPE}, got '{path[:200]}'")
    try:
        servable = unquote(match["servable"] or "", errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest(f"please check url, it is not UTF-8, got '{path[:200]}'") from None
    order = Order(servable, int(match["version"] or 0))
    if match["action"]:
        return Asked(_allowed(method, {"POST": match["action"]}), order)
    if match["labels"]:
        return Asked(_allowed(method, {"GET": "labels", "PUT": "set labels"}), order)
    return Asked(_allowed(method, {"GET": "index"}), order)


def _allowed(method: str, actions: dict[str, str]) -> str:
    action = actions.get(method)
    if action is None:
        raise MethodNotAllowed(f"expected {' or '.join(actions)}, got {method}")
    return action


def read_labels(asked: Any) -> list[Label]:
    """Labels from ``{"stable": {"version": 3, "weight": 95}}``; raises InvalidRequest."""
    if not isinstance(asked, dict):
        raise InvalidRequest("labels: expected a JSON object, by name")
    return [_label(name, each) for name, each in asked.items()]


def _label(name: str, asked: Any) -> Label:
    shown = name[:80]
    if not isinstance(asked, dict) or "version" not in asked or asked.keys() - _LABEL_KEYS:
        raise InvalidRequest(
            f"label '{shown}': expected an object with version and, if it has one, weight"
        )
    for key, value in asked.items():
        if type(value) is not int:
            raise InvalidRequest(
                f"label '{shown}': expected a whole number as {key}, got {str(value)[:40]}"
            )
    return Label(name, asked["version"], asked.get("weight", 0))


_LABEL_KEYS = {"version", "weight"}


def write_inventory(inventory: Inventory) -> dict[str, Any]:
    """Versions at workers, to be written as JSON."""
    return {
        "versions": [
            {
                "servable": each.what.servable,
                "version": each.what.version,
                "state": each.state.value,
                "detail": each.detail,
                "worker": each.worker,
            }
            for each in inventory.versions
        ],
        "silent_workers": list(inventory.silent),
    }


def write_labels(statuses: Sequence[LabelStatus]) -> dict[str, Any]:
    """Labels by name, to be written as JSON."""
    return {
        label.name: {"version": label.version, "weight": label.weight, "served": served}
        for label, served in statuses
    }
