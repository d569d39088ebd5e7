"""The device process: loads models, executes one call at a time, never serves a network."""

import itertools
import json
import socket
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from services.agent.backends import Backend, LoadedModel, backend_for
from services.agent.cores import Cores
from services.agent.device.affinity import stay_on
from services.agent.device.batch_codec import (
    Batch,
    SharedInputs,
    model_of,
    read_batch,
    write_outputs,
)
from services.agent.device.channel import (
    DONE,
    FAILED,
    LOAD,
    LOADED,
    PROGRESS,
    SECONDS,
    SKIPPED,
)
from services.agent.device.load_message import LoadMessage
from services.agent.device.priority import behind_others
from services.agent.device.rows import run_rows
from services.agent.device.withdrawals import Withdrawals
from services.agent.generation.language_model import LanguageModel
from services.agent.generation.step_codec import read_step, write_outcome
from shared.decryption import DecryptionKey
from shared.errors import (
    ExecutionFailed,
    InvalidRequest,
    LoadFailed,
    MemoryNotShared,
    ServingError,
)
from shared.frames import PREFIX, Frame
from shared.membership import Device, GangPart, ModelFiles
from shared.regions import Regions
from shared.tensors import Array

# A worker uses two for each servable version.
_MOST_REGIONS = 4


class DeviceProcess:
    """Answers messages from the agent until it closes the socket."""

    def __init__(self, connection: socket.socket, withdrawals: Withdrawals) -> None:
        self._reader = connection.makefile("rb")
        self._connection = connection
        self._withdrawals = withdrawals
        self._regions = Regions(_MOST_REGIONS)
        self._cores = Cores()
        self._models: dict[str, tuple[ModelFiles, LoadedModel]] = {}
        self._language_models: dict[str, LanguageModel] = {}
        self._without_effect: dict[str, Sequence[str]] = {}

    def run(self) -> None:
        """Work until the agent is gone."""
        for number in itertools.count():
            prefix = self._reader.read(PREFIX.size)
            if not prefix:
                return
            kind, head_size, payload_size = PREFIX.unpack(prefix)
            head = self._reader.read(head_size)
            try:
                if kind == LOAD:
                    answer = self._load(head, self._read_secret(payload_size))
                else:
                    payload = self._reader.read(payload_size)
                    withdrawn = self._withdrawals.withdrawn(number)
                    answer = Frame(SKIPPED, b"") if withdrawn else self._execute(head, payload)
            except ServingError as failure:
                named = {"error": type(failure).__name__, "message": failure.message}
                answer = Frame(FAILED, json.dumps(named).encode())
            self._send(answer)

    def _read_secret(self, size: int) -> bytearray:
        """Memory that can be wiped."""
        secret = bytearray(size)
        self._reader.readinto(secret)
        return secret

    def _send(self, frame: Frame) -> None:
        self._connection.sendall(b"".join(frame.packed()))

    def _load(self, head: bytes, secret: bytearray) -> Frame:
        message = LoadMessage.read(head)
        models = message.models
        key = DecryptionKey(secret, message.decryption_mode) if secret else None
        cores = {core for each in models for core in each.options.thread_affinity_core_list}
        try:
            if cores:
                stay_on(cores)
            backends = behind_others(_open_backends, models, message.device, message.part)
            if message.part is not None and message.part.group_size > 1:
                self._say(f"joining a group of {message.part.group_size} ranks")
                for backend in backends.values():
                    # The threads that carry what ranks say to each other are born here.
                    backend.join()
            behind_others(self._load_models, models, backends, key, message.part)
        finally:
            secret[:] = bytes(len(secret))
        for number, (files, model) in enumerate(self._models.values(), 1):
            self._say(f"warming up model '{files.key}' ({number} of {len(models)})")
            with _loading(files):
                model.warm_up()
        signatures = [asdict(model.signature) for _, model in self._models.values()]
        loaded = {"signatures": signatures, "without_effect": self._without_effect}
        return Frame(LOADED, json.dumps(loaded).encode())

    def _load_models(
        self,
        models: Sequence[ModelFiles],
        backends: Mapping[str, Backend],
        key: DecryptionKey | None,
        part: GangPart | None,
    ) -> None:
        for number, files in enumerate(models, 1):
            self._say(f"loading model '{files.key}' ({number} of {len(models)})")
            with _loading(files):
                backend = backends[files.format]
                model = backend.load(files, key)
                self._models[files.key] = (files, model)
                self._without_effect[files.key] = backend.without_effect(files)
                if files.language is not None:
                    language_model = LanguageModel(files, files.language, model, self._cores, part)
                    self._language_models[files.key] = language_model

    def _say(self, progress: str) -> None:
        self._send(Frame(PROGRESS, progress.encode()))

    def _execute(self, head: bytes, payload: bytes) -> Frame:
        if self._language_models:
            name = model_of(head)
            if name in self._language_models:
                return _step(name, self._language_models[name], payload)
        batch = read_batch(head, payload)
        if batch.model not in self._models:
            raise InvalidRequest(f"no model '{batch.model}' here")
        files, model = self._models[batch.model]
        self._cores.use(files.options.cores or 0)
        if isinstance(batch.inputs, SharedInputs):
            shared = batch.inputs
            arena = self._regions.open(shared.region)
            try:
                inputs: Sequence[Array] = arena.read(shared.placed)
            except (ValueError, TypeError) as failure:
                raise InvalidRequest(f"model '{files.key}': {failure}") from None
            outputs, took = _run(files, model, batch, inputs)
            try:
                placed, _ = arena.write(outputs, shared.output_offset)
            except OSError as failure:
                raise ExecutionFailed(
                    f"model '{files.key}', {batch.rows} rows: no memory for outputs:"
                    f" {failure.strerror}"
                ) from failure
            return Frame(DONE, SECONDS.pack(took), write_outputs(placed))
        outputs, took = _run(files, model, batch, batch.inputs)
        return Frame(DONE, SECONDS.pack(took), write_outputs(outputs))


def _step(name: str, model: LanguageModel, payload: bytes) -> Frame:
    step = read_step(payload)
    try:
        outcome = model.apply(step)
    except (InvalidRequest, MemoryNotShared):
        raise
    except Exception as failure:
        reason = _one_line(failure)
        raise ExecutionFailed(f"model '{name}', step {step.id}: {reason}") from failure
    return Frame(DONE, SECONDS.pack(outcome.device_seconds), write_outcome(outcome))


def _open_backends(
    models: Sequence[ModelFiles], device: Device, part: GangPart | None
) -> dict[str, Backend]:
    formats = dict.fromkeys(files.format for files in models)
    return {each: backend_for(each, device, part) for each in formats}


def _run(
    files: ModelFiles, model: LoadedModel, batch: Batch, inputs: Sequence[Array]
) -> tuple[list[Array], float]:
    """The outputs and the seconds they took."""

    def execute(arrays: list[Array]) -> list[Array]:
        outputs = model.execute(batch.subgraph, arrays)
        return [] if batch.without_outputs else outputs

    began = time.perf_counter()
    try:
        outputs = run_rows(files, model.signature, batch.subgraph, inputs, batch.rows, execute)
    except InvalidRequest:
        raise
    except Exception as failure:
        reason = _one_line(failure)
        raise ExecutionFailed(f"model '{files.key}', {batch.rows} rows: {reason}") from failure
    return outputs, time.perf_counter() - began


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


def serve(connection: socket.socket, page: int) -> None:
    """Work for the agent at the other end of ``connection`` until it is gone.

    ``page`` is the descriptor of its withdrawals.
    """
    DeviceProcess(connection, Withdrawals(page)).run()
