"""A step as the device process reads it, and its outcome as the worker will read it."""

from google.protobuf.message import DecodeError

from protos.serving.v1 import generation_pb2 as pb
from services.agent.generation.steps import (
    Chosen,
    Export,
    Forward,
    Grammar,
    Import,
    Row,
    Sampling,
    Start,
    Step,
    StepOutcome,
    StoreBlock,
    TokenLogprobs,
)
from shared.errors import InvalidRequest
from shared.wire.exchange_messages import read_region


def read_step(payload: bytes) -> Step:
    """Raises InvalidRequest when it is none."""
    try:
        step = pb.Step.FromString(payload)
    except DecodeError as failure:
        raise InvalidRequest("not a Step") from failure
    return Step(
        step.id,
        step.forget,
        [StoreBlock(each.slot, each.index, each.block) for each in step.stores],
        list(step.freed),
        [_start(each) for each in step.starts],
        [_import(each) for each in step.imports],
        [_forward(each) for each in step.prefills],
        _forward(step.decode) if step.HasField("decode") else None,
        [_export(each) for each in step.exports],
        [
            Chosen(each.slot, list(each.tokens), failure=each.failure, complete=each.complete)
            for each in step.told
        ],
        step.compares,
    )


def _export(export: pb.Export) -> Export:
    region = read_region(export.region) if export.HasField("region") else None
    return Export(export.slot, export.position, export.count, region)


def _import(given: pb.Import) -> Import:
    content = read_region(given.region) if given.HasField("region") else given.data
    return Import(given.slot, given.position, given.count, content)


def _start(start: pb.Start) -> Start:
    return Start(
        start.slot,
        list(start.tokens),
        list(start.blocks),
        start.prompt_tokens,
        start.adapter,
        _sampling(start.sampling),
    )


def _sampling(sampling: pb.Sampling) -> Sampling:
    has = sampling.HasField
    return Sampling(
        sampling.temperature,
        sampling.top_k,
        sampling.top_p if has("top_p") else 1.0,
        sampling.min_p,
        sampling.repetition_penalty if has("repetition_penalty") else 1.0,
        sampling.presence_penalty,
        sampling.frequency_penalty,
        dict(sampling.logit_bias),
        sampling.seed,
        sampling.min_tokens,
        tuple(sampling.stop_ids),
        sampling.logprobs if has("logprobs") else None,
        sampling.prompt_logprobs if has("prompt_logprobs") else None,
        tuple(sampling.allowed_ids),
        _grammar(sampling.grammar) if has("grammar") else None,
    )


def _grammar(grammar: pb.Grammar) -> Grammar | None:
    match grammar.WhichOneof("form"):
        case "json_schema":
            return Grammar("json_schema", (grammar.json_schema,))
        case "regex":
            return Grammar("regex", (grammar.regex,))
        case "choices":
            return Grammar("choices", tuple(grammar.choices.texts))
        case "any_json":
            return Grammar("any_json")
    return None


def _forward(forward: pb.Forward) -> Forward:
    return Forward(
        forward.graph,
        [
            Row(row.slot, row.position, row.count, row.speculated, row.samples)
            for row in forward.rows
        ],
    )


def write_outcome(outcome: StepOutcome) -> bytes:
    """A StepOutcome."""
    written = pb.StepOutcome(
        id=outcome.id,
        device_seconds=outcome.device_seconds,
        exported=outcome.exported,
        likeliest=outcome.likeliest,
    )
    for each in outcome.chosen:
        _write(each, written.chosen.add())
    return written.SerializeToString()


def _write(chosen: Chosen, written: pb.Chosen) -> None:
    written.slot = chosen.slot
    written.tokens.extend(chosen.tokens)
    # Most say nothing more.
    if chosen.logprobs:
        written.logprobs.extend(map(_logprobs, chosen.logprobs))
    if chosen.prompt_logprobs:
        written.prompt_logprobs.extend(map(_logprobs, chosen.prompt_logprobs))
    if chosen.failure:
        written.failure = chosen.failure
    if chosen.complete:
        written.complete = True


def _logprobs(told: TokenLogprobs) -> pb.TokenLogprobs:
    return pb.TokenLogprobs(
        logprob=told.logprob, rank=told.rank, ids=told.ids, logprobs=told.logprobs
    )
