"""(pure) What a GET is answered: health, what is served, the OpenAPI document."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from services.master.rest.openapi import describe
from services.master.rest.paths import read_servable
from services.master.rest.statuses import MethodNotAllowed
from services.master.router import Router
from shared.errors import Draining, Unavailable

_READY = "/readyz/"


class Pages:
    """Reads the router; knows nothing of HTTP beyond paths."""

    def __init__(self, router: Router, is_open: Callable[[], bool]) -> None:
        self._router = router
        # Whether the master takes requests, or is draining.
        self._is_open = is_open

    def get(self, path: str) -> dict[str, Any]:
        """The page at a path as it came, to be written as JSON.

        Raises NotServed, Draining, Unavailable, InvalidRequest or MethodNotAllowed.
        """
        if path == "/healthz":
            return {"status": "live"}
        if path == "/readyz":
            return self._ready()
        if path.startswith(_READY):
            return self._ready_for(unquote(path[len(_READY) :]))
        if path == "/openapi.json":
            served = self._served()
            return describe(served, {name: self._labels(name) for name in served})
        return self._servable(path)

    def _ready(self) -> dict[str, Any]:
        self._check_open()
        served = self._served()
        if not served:
            raise Unavailable("not ready: no worker serves anything now")
        return {"status": "ready", "servables": sorted(served)}

    def _ready_for(self, servable: str) -> dict[str, Any]:
        self._check_open()
        versions = self._router.served(servable)
        return {"status": "ready", "servable": servable, "versions": sorted(versions)}

    def _servable(self, path: str) -> dict[str, Any]:
        names, colon, _ = path.partition(":")
        if colon and "/model/" in names:
            raise MethodNotAllowed("http message only support POST right now, got GET")
        spec = read_servable(path)
        versions = self._router.served(spec.servable, spec.version)
        page = {
            "servable": spec.servable,
            "versions": [
                {
                    "version": version,
                    "methods": [
                        {"name": name, "inputs": list(each.inputs), "outputs": list(each.outputs)}
                        for name, each in sorted(methods.items())
                    ],
                }
                for version, methods in sorted(versions.items())
            ],
        }
        labels = self._labels(spec.servable)
        return page | {"labels": labels} if labels else page

    def _labels(self, servable: str) -> dict[str, int]:
        return {label.name: label.version for label in self._router.labels(servable)}

    def _served(self) -> dict[str, Any]:
        return {
            name: self._router.served(name)
            for name, serving in self._router.servables().items()
            if serving
        }

    def _check_open(self) -> None:
        if not self._is_open():
            raise Draining("not ready: the master is shutting down")
