"""Clients that stall are ended; time is an argument."""

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from services.master.rest.connection import WHEN_LEFT, Connection


class Transport:
    """Takes what is written, and reads nothing unless told to."""

    def __init__(self):
        self.written = b""
        self.unread = 0
        self.ended = ""

    def get_extra_info(self, name):
        return None

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return self.unread

    def is_closing(self):
        return bool(self.ended)

    def close(self):
        self.ended = self.ended or "closed"

    def abort(self):
        self.ended = "aborted"

    def pause_reading(self):
        pass

    resume_reading = pause_reading


def connected(config, state, most=10):
    made = Connection(config=config, server_state=state, app_state={}, max_connections=most)
    made.connection_made(Transport())
    return made


@pytest.fixture
async def connection():
    async def app(scope, receive, send):
        scope["extensions"][WHEN_LEFT](lambda: left.append(scope["path"]))
        await asyncio.get_running_loop().create_future()

    left = []
    config = uvicorn.Config(app, http=Connection, ws="none", lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    made = connected(config, state)
    made.left = left
    yield made
    for task in list(state.tasks):
        task.cancel()
    if state.tasks:
        await asyncio.wait(state.tasks)


def soon(seconds):
    return asyncio.get_running_loop().time() + seconds


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nhost: "])
async def test_a_client_that_does_not_finish_a_head_is_ended(connection, said):
    connection.data_received(said)
    connection.look_after(soon(29))
    assert not connection.transport.ended
    connection.look_after(soon(31))
    assert connection.transport.ended == "closed"


async def test_a_client_whose_request_runs_may_wait(connection):
    connection.data_received(b"GET /healthz HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0)
    connection.look_after(soon(3000))
    assert not connection.transport.ended


async def test_a_client_that_reads_nothing_is_ended_and_one_that_reads_slowly_is_not(connection):
    connection.data_received(b"GET /healthz HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0)
    for second in range(100):
        connection.transport.unread = 1000 - second
        connection.look_after(soon(second))
    assert not connection.transport.ended
    for second in range(100, 158):
        connection.look_after(soon(second))
    assert not connection.transport.ended
    connection.look_after(soon(161))
    assert connection.transport.ended == "aborted"


async def test_a_head_without_end_is_refused(connection):
    connection.data_received(b"GET / HTTP/1.1\r\n")
    for number in range(100):
        connection.data_received(b"x-%d: %s\r\n" % (number, b"a" * 1000))
    assert connection.transport.written.startswith(b"HTTP/1.1 431 ")
    assert connection.transport.ended == "closed"


async def test_the_running_request_hears_once_that_its_client_left(connection):
    connection.data_received(b"GET /one HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0)
    connection.connection_lost(None)
    assert connection.left == ["/one"]


async def test_beyond_the_limit_a_client_is_told_so_and_takes_no_place(connection):
    config, state = connection.config, connection.server_state
    second = connected(config, state, most=2)
    for _ in range(3):
        refused = connected(config, state, most=2)
        assert refused.transport.written.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in refused.transport.written
        assert refused.transport.written.endswith(
            b'{"error_msg":"the limit of 2 connections is reached"}'
        )
        assert refused.transport.ended == "closed"
        refused.data_received(b"GET /healthz HTTP/1.1\r\n\r\n")
        refused.connection_lost(None)
    assert not state.tasks
    second.connection_lost(None)
    assert not connected(config, state, most=2).transport.ended
