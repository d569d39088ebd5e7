"""How tokens are chosen, as requests for text and steps of agents say it."""

from collections.abc import Collection
from typing import TypeVar

from protos.serving.v1 import generation_pb2 as pb
from shared import text_generation as t
from shared.errors import InvalidRequest

Item = TypeVar("Item")


def several(name: str, values: Collection[Item], most: int = t.MOST_TOKENS) -> tuple[Item, ...]:
    """No more than can be looked at while others wait."""
    if len(values) > most:
        raise InvalidRequest(f"{name}: expected at most {most}, got {len(values)}")
    return tuple(values)


def write_sampling(sampling: t.Sampling) -> pb.Sampling:
    """As a message."""
    grammar = None if sampling.grammar is None else _write_grammar(sampling.grammar)
    return pb.Sampling(
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=sampling.logit_bias,
        seed=sampling.seed,
        min_tokens=sampling.min_tokens,
        stop_ids=sampling.stop_ids,
        logprobs=sampling.logprobs,
        prompt_logprobs=sampling.prompt_logprobs,
        allowed_ids=sampling.allowed_ids,
        grammar=grammar,
    )


def read_sampling(asked: pb.Sampling) -> t.Sampling:
    """From a message; raises InvalidRequest for lists that are too long."""
    several("logit_bias", asked.logit_bias, t.MOST_BIASES)
    return t.Sampling(
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p if asked.HasField("top_p") else None,
        min_p=asked.min_p,
        repetition_penalty=(
            asked.repetition_penalty if asked.HasField("repetition_penalty") else None
        ),
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        logit_bias=dict(asked.logit_bias),
        seed=asked.seed if asked.HasField("seed") else None,
        min_tokens=asked.min_tokens,
        stop_ids=several("stop_ids", asked.stop_ids),
        logprobs=asked.logprobs if asked.HasField("logprobs") else None,
        prompt_logprobs=asked.prompt_logprobs if asked.HasField("prompt_logprobs") else None,
        allowed_ids=several("allowed_ids", asked.allowed_ids),
        grammar=_read_grammar(asked.grammar) if asked.HasField("grammar") else None,
    )


def _write_grammar(grammar: t.Grammar) -> pb.Grammar:
    match grammar.form:
        case "json_schema":
            return pb.Grammar(json_schema=grammar.source)
        case "regex":
            return pb.Grammar(regex=grammar.source)
        case "choices":
            return pb.Grammar(choices=pb.Choices(texts=grammar.texts))
        case "any_json":
            return pb.Grammar(any_json=True)


def _read_grammar(asked: pb.Grammar) -> t.Grammar | None:
    match asked.WhichOneof("form"):
        case "json_schema":
            return t.Grammar("json_schema", asked.json_schema)
        case "regex":
            return t.Grammar("regex", asked.regex)
        case "choices":
            return t.Grammar("choices", texts=tuple(asked.choices.texts))
        case "any_json":
            return t.Grammar("any_json")
        case _:
            return None
