"""The device process: loads models, executes one call at a time, never serves a network."""

import ctypes
import json
import os
import signal
import socket
import sys
import time
import traceback
from dataclasses import asdict
from typing import Any

from services.agent.backends import Backend, LoadedModel, backend_for
from services.agent.device.channel import LENGTH, describe, pack, placed_in
from services.agent.device.regions import Regions
from services.agent.device.rows import run_rows
from services.agent.device.work import Region
from shared.arena import Arena
from shared.errors import ExecutionFailed, InvalidRequest, LoadFailed, ServingError
from shared.membership import Device, ModelFiles

_PR_SET_PDEATHSIG = 1


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
        backends: dict[str, Backend] = {}
        for described in message["models"]:
            files = ModelFiles(**described | {"paths": tuple(described["paths"])})
            if files.format not in backends:
                backends[files.format] = backend_for(files.format, device)
            self._models[files.key] = (files, _load(backends[files.format], files))
        return {"signatures": [asdict(model.signature) for _, model in self._models.values()]}

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
                files, model.signature, subgraph, inputs, rows,
                lambda arrays: model.execute(subgraph, arrays),
            )  # fmt: skip
        except InvalidRequest:
            raise
        except Exception as failure:
            reason = str(failure).partition("\n")[0]
            raise ExecutionFailed(f"model '{files.key}', {rows} rows: {reason}") from failure
        took = time.perf_counter() - began
        try:
            placed, _ = arena.write(outputs, message["end"])
        except OSError as failure:
            raise ExecutionFailed(
                f"model '{files.key}', {rows} rows: no memory for outputs: {failure.strerror}"
            ) from failure
        return {"outputs": describe(placed), "device_seconds": took}


def _load(backend: Backend, files: ModelFiles) -> LoadedModel:
    try:
        return backend.load(files)
    except ServingError:
        raise
    except Exception as failure:
        traceback.print_exc()
        raise LoadFailed(f"model '{files.key}': {failure!r}".partition("\n")[0]) from failure


def main() -> None:
    """Serve the agent on the file descriptors it passed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=int(sys.argv[1]))
    DeviceProcess(connection, Arena(int(sys.argv[2]))).run()
    # MindSpore may crash in its own clean-up: leave without it.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
