"""(pure) What a load is told, and the requests that it consists of."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

WORDS = (
    "the", "a", "of", "to", "in", "is", "that", "for", "with", "as", "on", "by", "this", "from",
    "or", "an", "be", "are", "at", "it", "module", "function", "class", "returns", "value", "name",
    "list", "string", "file", "object", "text", "number", "key", "first", "last", "same", "when",
    "each", "other",
)  # fmt: skip
"""What prompts are made of that nobody gave."""


class WrongOrder(Exception):
    """The load cannot be what it was told to be."""


class Target(NamedTuple):
    """Where requests go."""

    host: str
    port: int
    secure: bool
    """Whether over TLS."""
    path: str
    """What stands before ``/v1``."""

    @classmethod
    def parse(cls, url: str) -> "Target":
        """``http://HOST[:PORT][/PATH]``, with or without ``/v1`` at the end; raises WrongOrder."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise WrongOrder(f"url: expected http://HOST[:PORT] or https://..., got {url!r}")
        secure = parts.scheme == "https"
        path = parts.path.rstrip("/").removesuffix("/v1")
        return cls(parts.hostname, port or (443 if secure else 80), secure, path)


class Asked(NamedTuple):
    """One request."""

    prompt: str
    max_tokens: int
    text: str | None = None
    """What the answer must be; None: anything."""


@dataclass(frozen=True, slots=True)
class Order:
    """Requests to one server."""

    url: str
    model: str
    asked: tuple[Asked, ...]
    """Taken in turn."""
    requests: int
    """How many are measured; an open loop takes as many as arrive in ``seconds``, up to these."""
    concurrency: int = 0
    """Closed loop: so many at once; 0: an open loop."""
    rate: float = 0.0
    """Open loop: arrivals a second, independent of another (Poisson)."""
    seconds: float = 0.0
    """Open loop: how long requests arrive; 0: until there were enough."""
    warm_requests: int = 1
    """So many are sent one after another before, and not counted."""
    seed: int = 1
    """Of the arrivals."""
    chat: bool = False
    """``/v1/chat/completions`` instead of ``/v1/completions``."""
    must_reach_length: bool = False
    """Whether an answer that ends before ``max_tokens`` is an error."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More fields of every request's body."""
    timeout_seconds: float = 120.0
    """Of one request, from the moment that was meant for it."""

    def __post_init__(self) -> None:
        Target.parse(self.url)
        if (self.concurrency > 0) == (self.rate > 0):
            raise WrongOrder("expected either a rate or a concurrency above 0")
        if self.requests < 1 or not self.asked:
            raise WrongOrder("expected at least one request and one prompt")

    @property
    def path(self) -> str:
        """Of the URL that is posted to."""
        end = "chat/completions" if self.chat else "completions"
        return f"{Target.parse(self.url).path}/v1/{end}"

    def body(self, asked: Asked) -> bytes:
        """One request's body: greedy, streamed, with a count of the tokens at its end."""
        content: dict[str, Any] = {"prompt": asked.prompt}
        if self.chat:
            content = {"messages": [{"role": "user", "content": asked.prompt}]}
        fields = {
            "model": self.model,
            **content,
            "max_tokens": asked.max_tokens,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.extra,
        }
        # A null takes a field away that a server does not know.
        return json.dumps({k: v for k, v in fields.items() if v is not None}).encode()

    def arrivals(self) -> Iterator[float]:
        """Open loop: seconds after the start at which requests leave."""
        chance = random.Random(self.seed)
        moment = 0.0
        for _ in range(self.requests):
            moment += chance.expovariate(self.rate)
            if self.seconds and moment > self.seconds:
                return
            yield moment


def made_prompts(count: int, words: int, seed: int) -> Sequence[str]:
    """Prompts of so many words, each another one, so that no cache knows their beginnings."""
    chance = random.Random(seed)
    return [f"{number}: " + " ".join(chance.choices(WORDS, k=words)) for number in range(count)]
