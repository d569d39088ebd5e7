"""What ``MindsporeInferenceClient`` says of a wrong URL, and of an answer that breaks off."""

import socket
import threading
from contextlib import closing

import pytest

from mindspore_serving.client import MindsporeInferenceClient

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data:{"token":{"text":"a"}}\n\r\n'


@pytest.fixture
def url():
    """A server that breaks off in the middle of each answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def break_off():
            connection, _ = listening.accept()
            with connection:
                asked = b""
                while not asked.endswith(b"}"):
                    asked += connection.recv(1 << 16)
                connection.sendall(HEAD + b"%x\r\n" % (len(EVENT) - 2) + EVENT)

        thread = threading.Thread(target=break_off)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    "wrong", ["127.0.0.1:1500", "ftp://host", "http://", "http://host:port", "http://host:99999", "http://[::1"]
)  # fmt: skip
def test_a_url_that_is_none_is_refused_at_once(wrong):
    with pytest.raises(RuntimeError, match="'server_url': expected http://HOST:PORT, got "):
        MindsporeInferenceClient("tiny", wrong)


def test_an_answer_that_breaks_off_is_an_error_of_the_connection(url):
    with pytest.raises(ConnectionError, match="broke off"):
        MindsporeInferenceClient("tiny", url).generate("Hello")


def test_a_stream_that_breaks_off_gives_what_came_and_is_an_error_of_the_connection(url):
    with closing(MindsporeInferenceClient("tiny", url).generate_stream("Hello")) as stream:
        assert next(stream).token.text == "a"
        with pytest.raises(ConnectionError, match="broke off"):
            next(stream)
