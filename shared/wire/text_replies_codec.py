"""What language models answer, to protobuf and back."""

from collections.abc import Iterable
from dataclasses import asdict

from protos.serving.v1 import text_generation_pb2 as pb
from shared import text_generation as t
from shared.errors import ServingError, rebuild

# What a piece begins to say that tells of an error: what has it not is not read for one.
_FAILED = pb.Piece(finish_reason="error").SerializeToString()


def write_reply(reply: t.GenerateReply) -> bytes:
    """One message of a stream as bytes."""
    return pb.GenerateReply(
        pieces=map(_write_piece, reply.pieces),
        usage=None if reply.usage is None else pb.Usage(**asdict(reply.usage)),
        prompt=(
            None
            if reply.prompt is None
            else pb.Prompt(text=reply.prompt.text, tokens=map(_write_token, reply.prompt.tokens))
        ),
    ).SerializeToString()


def read_reply(message: bytes) -> t.GenerateReply:
    """One message of a stream; raises DecodeError for what is none."""
    reply = pb.GenerateReply.FromString(message)
    prompt = None
    if reply.HasField("prompt"):
        prompt = t.ReadPrompt(reply.prompt.text, tuple(map(_read_token, reply.prompt.tokens)))
    return t.GenerateReply(
        tuple(map(_read_piece, reply.pieces)),
        _read_usage(reply.usage) if reply.HasField("usage") else None,
        prompt,
    )


def failure_in(message: bytes) -> ServingError | None:
    """What the first choice failed of that ended with an error in this reply; None: none did."""
    if _FAILED not in message:
        return None
    for piece in pb.GenerateReply.FromString(message).pieces:
        if piece.finish_reason == "error":
            name, _, reason = piece.error.partition(": ")
            return rebuild(name, reason)
    return None


def _write_piece(piece: t.Piece) -> pb.Piece:
    return pb.Piece(
        choice=piece.choice,
        text=piece.text,
        token_ids=piece.token_ids,
        finish_reason=piece.finish_reason,
        stopped_by=piece.stopped_by,
        error=piece.error,
        tokens=map(_write_token, piece.tokens),
    )


def _read_piece(piece: pb.Piece) -> t.Piece:
    return t.Piece(
        piece.choice,
        piece.text,
        tuple(piece.token_ids),
        piece.finish_reason,
        piece.stopped_by,
        piece.error,
        tuple(map(_read_token, piece.tokens)),
    )


def _write_token(token: t.Token) -> pb.Token:
    return pb.Token(
        id=token.id,
        text=token.text,
        special=token.special,
        logprob=token.logprob,
        rank=token.rank,
        alternatives=(
            pb.Alternative(id=each.id, text=each.text, logprob=each.logprob, special=each.special)
            for each in token.alternatives
        ),
    )


def _read_token(token: pb.Token) -> t.Token:
    return t.Token(
        token.id,
        token.text,
        token.special,
        token.logprob if token.HasField("logprob") else None,
        token.rank,
        tuple(
            t.Alternative(each.id, each.text, each.logprob, each.special)
            for each in token.alternatives
        ),
    )


def _read_usage(usage: pb.Usage) -> t.Usage:
    return t.Usage(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.queue_seconds,
        usage.prefill_seconds,
        usage.decode_seconds,
    )


def write_tokens(tokens: t.Tokens) -> bytes:
    """The answer to a TokenizeRequest as bytes."""
    return pb.TokenizeReply(**asdict(tokens)).SerializeToString()


def read_tokens(message: bytes) -> t.Tokens:
    """The answer to a TokenizeRequest."""
    reply = pb.TokenizeReply.FromString(message)
    return t.Tokens(
        tuple(reply.ids),
        tuple(reply.texts),
        tuple(reply.begins),
        tuple(reply.ends),
        reply.max_model_len,
    )


def write_text(text: str) -> bytes:
    """The answer to a DetokenizeRequest as bytes."""
    return pb.DetokenizeReply(text=text).SerializeToString()


def read_text(message: bytes) -> str:
    """The answer to a DetokenizeRequest."""
    return pb.DetokenizeReply.FromString(message).text


def write_models(models: Iterable[t.ListedModel]) -> bytes:
    """The answer to a ListModelsRequest as bytes."""
    return pb.ListModelsReply(
        models=(pb.LanguageModelOffer(**asdict(each)) for each in models)
    ).SerializeToString()
