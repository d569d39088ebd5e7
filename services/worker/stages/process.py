"""The stage process: imports servables, calls their functions one after another."""

import json
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from services.worker.stages.changes import Changes
from services.worker.stages.chunks import outcomes_in_chunks
from services.worker.stages.mailbox import pack, unpack
from services.worker.stages.messages import (
    ANSWER,
    ASK,
    FORGET,
    LOAD,
    LOADED,
    OUTCOMES,
    OVER,
    SECONDS,
)
from services.worker.stages.values import UnusableValue, value_of
from shared.arena import Arena
from shared.declaration import load_servable
from shared.errors import LoadFailed
from shared.frames import PREFIX, Frame
from shared.model_calls import calls_answered_by
from shared.servable import Servable
from shared.stage_graph import FunctionCall
from shared.tensors import Array


class StageProcess:
    """Answers messages from the worker until that closes the socket."""

    def __init__(
        self, connection: socket.socket, memories: Sequence[tuple[Arena, Arena]], directory: Path
    ) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._ahead: deque[Frame] = deque()
        """What came while this one waited for an answer."""
        self._memories = memories
        self._inbox, self._outbox = memories[0]
        """Those of the run that it works on."""
        self._end = 0
        """Of what this run has put into the outbox."""
        self._directory = directory
        self._servables: dict[tuple[str, int], Servable] = {}

    def run(self) -> None:
        """Work until the worker is gone."""
        for frame in self._frames():
            if frame.kind == LOAD:
                self._send(Frame(LOADED, self._load(frame.head).encode()))
            elif frame.kind == FORGET:
                self._servables.pop(_what(json.loads(frame.head)), None)
            else:
                began = time.perf_counter()
                last = self._run_stage(frame)
                # Together, because each message wakes the worker.
                self._send(*last, Frame(OVER, SECONDS.pack(time.perf_counter() - began)))

    def _frames(self) -> Iterator[Frame]:
        while frame := self._ahead.popleft() if self._ahead else self._next():
            yield frame

    def _next(self) -> Frame | None:
        prefix = self._reader.read(PREFIX.size)
        if not prefix:
            return None
        kind, head_size, payload_size = PREFIX.unpack(prefix)
        return Frame(kind, self._reader.read(head_size), self._reader.read(payload_size))

    def _next_answer(self) -> Frame:
        while frame := self._next():
            if frame.kind == ANSWER:
                return frame
            self._ahead.append(frame)
        raise SystemExit("the worker is gone")

    def _send(self, *frames: Frame) -> None:
        self._connection.sendall(b"".join(piece for each in frames for piece in each.packed()))

    def _load(self, head: bytes) -> str:
        named = json.loads(head)
        try:
            self._servables[_what(named)] = load_servable(self._directory, named["servable"])
        except LoadFailed as failure:
            return failure.message
        return ""

    def _run_stage(self, frame: Frame) -> list[Frame]:
        """Send outcomes as they come; gives the last ones, which are not sent yet."""
        about = json.loads(frame.head)
        stage = self._servables[_what(about)].methods[about["method"]].graph.stages[about["stage"]]
        assert isinstance(stage.call, FunctionCall)
        self._inbox, self._outbox = self._memories[about["memory"]]
        instances = unpack(self._inbox, frame.payload)
        self._end = 0
        changes = Changes(instances, about["read_again"])
        done = 0
        with calls_answered_by(self):
            for outcomes in outcomes_in_chunks(stage, stage.call, about["where"], instances):
                found = Frame(OUTCOMES, b"", self._pack(changes.behind(outcomes)))
                done += len(outcomes)
                if done == len(instances):
                    return [found]
                self._send(found)
        return []

    def _pack(self, values: Any) -> bytes:
        message, self._end = pack(self._outbox, values, self._end)
        return message

    def call(
        self, model: str, subgraph: int, instances: Sequence[Sequence[Any]]
    ) -> list[tuple[Array, ...]]:
        """See ``shared.model_calls.ModelCaller``: the worker has the models."""
        try:
            rows = [tuple(map(value_of, instance)) for instance in instances]
        except UnusableValue as failure:
            raise RuntimeError(str(failure)) from failure
        head = json.dumps({"model": model, "subgraph": subgraph}).encode()
        self._send(Frame(ASK, head, self._pack(rows)))
        answer = unpack(self._inbox, self._next_answer().payload)
        if isinstance(answer, str):
            raise RuntimeError(answer)
        outputs: list[tuple[Array, ...]] = answer
        return outputs


def _what(named: dict[str, Any]) -> tuple[str, int]:
    return named["servable"], named["version"]


def serve(arguments: Sequence[str]) -> None:
    """Work for the worker: its socket, the directory, then descriptors of the memories."""
    arenas = [Arena(int(each)) for each in arguments[2:]]
    memories = list(zip(arenas[::2], arenas[1::2], strict=True))
    connection = socket.socket(fileno=int(arguments[0]))
    StageProcess(connection, memories, Path(arguments[1])).run()
