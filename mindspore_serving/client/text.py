"""The client of MindSpore's llm-serving: ``MindsporeInferenceClient``."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

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
        url = urlsplit(server_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise RuntimeError(
                f"Parameter 'server_url': expected http://HOST:PORT, got '{server_url}'"
            )
        self._connect = (
            http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        )
        self._host, self._port = url.hostname, url.port
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
        connection, answer = self._ask(prompt, parameters, stream=False)
        try:
            return Response(json.loads(answer.read())["generated_text"])
        finally:
            connection.close()

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
        connection, answer = self._ask(prompt, parameters, stream=True)
        try:
            for line in answer:
                text = line.decode()
                if text.startswith(_FIELD):
                    yield _read(json.loads(text.removeprefix(_FIELD)))
        finally:
            connection.close()

    def _ask(
        self, prompt: str, parameters: dict[str, Any], *, stream: bool
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        said = {name: value for name, value in parameters.items() if value is not None}
        body = json.dumps({"inputs": prompt, "parameters": said, "stream": stream})
        connection = self._connect(self._host, self._port, timeout=self._timeout)
        try:
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise _failure(answer.read().decode(errors="replace"), answer.status)
        except BaseException:
            connection.close()
            raise
        return connection, answer


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
