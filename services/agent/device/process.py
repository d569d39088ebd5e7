"""The device process: loads models, executes one call at a time, never serves a network."""

import json
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from services.agent.backends import Backend, LoadedModel, backend_for
from services.agent.device.channel import LENGTH, describe, pack, placed_in
from services.agent.device.priority import behind_others
from services.agent.device.regions import Regions
from services.agent.device.rows import run_rows
from services.agent.device.work import Region
from shared.arena import Arena
from shared.errors import ExecutionFailed, InvalidRequest, LoadFailed, ServingError
from shared.membership import Device, ModelFiles


class DeviceProcess:
    """Answers messages from the agent until it closes the socket."""

    def __init__(self, connection: socket.socket, arena: Arena) -> None:
        self._reader = connection.makefile("rb")
        self._connection = connection
        self._arena = arena
        self._regions = Regions()
        self._models: dict[str, tuple[ModelFiles, LoadedModel]] = {}

    def run(self) -> None:
        """Work until the agent is gone."""
        while head := self._reader.read(LENGTH.size):
            message = json.loads(self._reader.read(LENGTH.unpack(head)[0]))
            try:
                answer = self._load(message) if "models" in message else self._execute(message)
            except ServingError as failure:
                answer = {"error": type(failure).__name__, "message": failure.message}
            self._connection.sendall(pack(answer))

    def _load(self, message: dict[str, Any]) -> dict[str, Any]:
        device = Device(**message["device"])
        models = [
            ModelFiles(**each | {"paths": tuple(each["paths"])}) for each in message["models"]
        ]
        behind_others(self._load_models, models, device)
        for number, (files, model) in enumerate(self._models.values(), 1):
            self._say(f"warming up model '{files.key}' ({number} of {len(models)})")
            with _loading(files):
                model.warm_up()
        return {"signatures": [asdict(model.signature) for _, model in self._models.values()]}

    def _load_models(self, models: list[ModelFiles], device: Device) -> None:
        backends: dict[str, Backend] = {}
        for number, files in enumerate(models, 1):
            self._say(f"loading model '{files.key}' ({number} of {len(models)})")
            if files.format not in backends:
                backends[files.format] = backend_for(files.format, device)
            with _loading(files):
                self._models[files.key] = (files, backends[files.format].load(files))

    def _say(self, progress: str) -> None:
        self._connection.sendall(pack({"progress": progress}))

    def _execute(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["model"] not in self._models:
            raise InvalidRequest(f"no model '{message['model']}' here")
        files, model = self._models[message["model"]]
        arena = self._arena
        if region := message["region"]:
            arena = self._regions.open(
                Region(region["pid"], region["fd"], bytes.fromhex(region["nonce"]))
            )
        try:
            inputs = arena.read(placed_in(message["inputs"]))
        except (ValueError, TypeError) as failure:
            raise InvalidRequest(f"model '{files.key}': {failure}") from None
        subgraph, rows = message["subgraph"], message["rows"]
        began = time.perf_counter()
        try:
            outputs = run_rows(
                files,
                model.signature,
                subgraph,
                inputs,
                rows,
                lambda arrays: model.execute(subgraph, arrays),
            )
        except InvalidRequest:
            raise
        except Exception as failure:
            reason = _one_line(failure)
            raise ExecutionFailed(f"model '{files.key}', {rows} rows: {reason}") from failure
        took = time.perf_counter() - began
        try:
            placed, _ = arena.write(outputs, message["end"])
        except OSError as failure:
            raise ExecutionFailed(
                f"model '{files.key}', {rows} rows: no memory for outputs: {failure.strerror}"
            ) from failure
        return {"outputs": describe(placed), "device_seconds": took}


@contextmanager
def _loading(files: ModelFiles) -> Iterator[None]:
    """Whatever goes wrong inside is the model's fault, not the end of this process."""
    try:
        yield
    except ServingError:
        raise
    except Exception as failure:
        traceback.print_exc()
        raise LoadFailed(f"model '{files.key}': {_one_line(failure)}") from failure


def _one_line(failure: Exception) -> str:
    """The first line of a text that backends may follow with pages."""
    if isinstance(failure, ServingError):
        return failure.message
    text = next((line for line in str(failure).splitlines() if line.strip()), "")
    return f"{type(failure).__name__}: {text.strip()}"


def serve(connection: socket.socket, memory: int) -> None:
    """Work for the agent at the other end of ``connection`` until it is gone."""
    DeviceProcess(connection, Arena(memory)).run()
