"""``python -m services.master.rest.large_process SOCKET``: by a master, for its large JSON."""

import socket
import sys
from collections.abc import Callable

from services.master.rest.paths import read_call
from services.master.rest.requests import read_json, read_request, write_reply
from services.master.rest.statuses import told
from shared.errors import ServingError
from shared.frames import PREFIX, Frame
from shared.parent import end_with_parent

READ = b"R"
"""Head: the path of a request; payload: its body. Answered with a message."""
WRITE = b"W"
"""Payload: a message that replies. Answered with a status as head, and JSON."""
DONE, FAILED = b"D", b"F"
"""What every frame is answered with; a failure's head is its class, its payload the words."""


def read(frame: Frame) -> Frame:
    """The message of a request."""
    asked = read_json(frame.payload)
    return Frame(DONE, b"", read_request(read_call(frame.head.decode()), asked))


def write(frame: Frame) -> Frame:
    """The JSON of a reply."""
    body, status = write_reply(frame.payload)
    return Frame(DONE, b"%d" % status, body)


_WORK: dict[bytes, Callable[[Frame], Frame]] = {READ: read, WRITE: write}


def answer(frame: Frame) -> Frame:
    """What a frame is answered with."""
    try:
        return _WORK[frame.kind](frame)
    except Exception as failure:
        named: ServingError = told(failure)
        return Frame(FAILED, type(named).__name__.encode(), named.message.encode())


def serve(connection: socket.socket) -> None:
    """One frame after another, until the master is gone."""
    reader = connection.makefile("rb")
    while prefix := reader.read(PREFIX.size):
        kind, head_size, payload_size = PREFIX.unpack(prefix)
        frame = Frame(kind, reader.read(head_size), reader.read(payload_size))
        connection.sendall(b"".join(answer(frame).packed()))


if __name__ == "__main__":
    end_with_parent()
    serve(socket.socket(fileno=int(sys.argv[1])))
