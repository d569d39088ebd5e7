"""The client of MindSpore's llm-serving: ``MindsporeInferenceClient``."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from mindspore_serving.client.encoding import ServingRequestError

_TIMEOUT_SECONDS = 30000
_FIELD = "data:"


@dataclass(frozen=True, slots=True)
class Response:
    """What a prompt was continued with."""

    generated_text: str


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a text."""

    text: str


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """A token; the last one of a stream with ``return_full_text`` has the whole text instead."""

    generated_text: str | None = None
    token: Token | None = None


class MindsporeInferenceClient:
    """Has a language model continue prompts, over HTTP.

    model_type: the model's name. server_url: ``http://HOST:PORT`` or ``https://HOST:PORT``, of a
    master's REST address. token: the key that the master wants, if it wants one. timeout: seconds
    that the server may say nothing.
    """

    def __init__(
        self,
        model_type: str,
        server_url: str,
        token: str | None = None,
        timeout: float = _TIMEOUT_SECONDS,
    ) -> None:
        """Raises RuntimeError when the URL is none."""
        url, self._host, self._port = _read_url(server_url)
        self._connect = (
            http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        )
        self._path = f"{url.path.rstrip('/')}/models/{quote(model_type, safe='')}"
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._timeout = timeout

    def generate(
        self,
        prompt: str,
        do_sample: bool = False,
        repetition_penalty: float | None = 1.0,
        temperature: float | None = 1.0,
        top_k: int | None = 1,
        top_p: float | None = 1,
        max_new_tokens: int | None = 300,
    ) -> Response:
        """The whole text at once; raises ServingRequestError or OSError."""
        parameters = {
            "do_sample": do_sample, "repetition_penalty": repetition_penalty,
            "temperature": temperature, "top_k": top_k, "top_p": top_p,
            "max_new_tokens": max_new_tokens,
        }  # fmt: skip
        with self._asked(prompt, parameters, stream=False) as answer:
            return Response(json.loads(answer.read())["generated_text"])

    def generate_stream(
        self,
        prompt: str,
        do_sample: bool = True,
        repetition_penalty: float | None = 1.0,
        temperature: float | None = 1.0,
        top_k: int | None = 1,
        top_p: float | None = 1,
        max_new_tokens: int | None = 300,
        return_full_text: bool | None = True,
    ) -> Iterator[StreamResponse]:
        """Token by token; raises ServingRequestError, also in the middle, or OSError.

        Closing the iterator ends the text at the server.
        """
        parameters = {
            "do_sample": do_sample, "repetition_penalty": repetition_penalty,
            "temperature": temperature, "top_k": top_k, "top_p": top_p,
            "max_new_tokens": max_new_tokens, "return_full_text": return_full_text,
        }  # fmt: skip
        with self._asked(prompt, parameters, stream=True) as answer:
            for line in _lines(answer):
                text = line.decode()
                if text.startswith(_FIELD):
                    yield _read(json.loads(text.removeprefix(_FIELD)))

    @contextmanager
    def _asked(
        self, prompt: str, parameters: dict[str, Any], *, stream: bool
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer of status 200, to be read while inside."""
        said = {name: value for name, value in parameters.items() if value is not None}
        body = json.dumps({"inputs": prompt, "parameters": said, "stream": stream})
        connection = self._connect(self._host, self._port, timeout=self._timeout)
        try:
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise _failure(answer.read().decode(errors="replace"), answer.status)
            yield answer
        except http.client.HTTPException as failure:
            raise ConnectionError(f"the server's answer broke off: {failure!r}") from failure
        finally:
            connection.close()


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Its own iterator takes a connection that breaks off for the end."""
    rest = b""
    while content := answer.read1():
        *lines, rest = (rest + content).split(b"\n")
        yield from lines


def _read_url(server_url: str) -> tuple[SplitResult, str, int | None]:
    try:
        url = urlsplit(server_url)
        if url.scheme in ("http", "https") and url.hostname:
            return url, url.hostname, url.port
    except ValueError:  # a port that is none, or half an address of IPv6
        pass
    raise RuntimeError(f"Parameter 'server_url': expected http://HOST:PORT, got '{server_url}'")


def _read(event: dict[str, Any]) -> StreamResponse:
    if "error" in event:
        raise _failed(str(event["error"]))
    if "token" in event:
        return StreamResponse(token=Token(event["token"]["text"]))
    return StreamResponse(generated_text=event["generated_text"])


def _failure(content: str, status: int) -> ServingRequestError:
    try:
        return _failed(str(json.loads(content)["error"]))
    except (ValueError, TypeError, KeyError):
        return _failed(f"HTTP status {status}: {content}")


def _failed(text: str) -> ServingRequestError:
    return ServingRequestError([text], {"error": text})
