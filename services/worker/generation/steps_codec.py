"""Steps for agents as messages, and what agents say came of them."""

from collections.abc import Iterable, Mapping

from google.protobuf.message import DecodeError

from protos.serving.v1 import execution_pb2
from protos.serving.v1 import generation_pb2 as pb
from services.worker.generation.buckets import Bucket
from services.worker.generation.continuations import Continuation
from services.worker.generation.steps import Chunk, Logprobs, Outcome, Start, Step
from shared.errors import ExecutionFailed, InvalidRequest, ServingError
from shared.servable import ServableVersion
from shared.wire.sampling_codec import write_sampling

# Of what a device process says against a sequence, all else is its caller's fault.
_FAULT_OF_MODEL = "the model gave no numbers"


def write_head(what: ServableVersion, model: str, step: Step) -> bytes:
    """An ExecuteHead: what the agent itself reads."""
    return execution_pb2.ExecuteHead(
        servable=what.servable, version=what.version, model=model, rows=step.tokens
    ).SerializeToString()


def write_step(
    step: Step,
    graphs: Mapping[Bucket, int],
    slots: Mapping[int, Continuation],
    *,
    forget: bool,
) -> bytes:
    """A Step; ``slots`` says who has which, those included that start."""
    message = pb.Step(
        id=step.number,
        forget=forget,
        stores=[pb.StoreBlock(slot=s.slot, index=s.index, block=s.block) for s in step.stores],
        freed=() if forget else step.freed,
        starts=[_start(start, slots[start.slot]) for start in step.starts],
    )
    for call in step.prefills:
        message.prefills.add(graph=graphs[call.bucket], rows=map(_row, call.chunks))
    if step.decode is not None:
        message.decode.graph = graphs[step.decode.bucket]
        for slot, position in zip(step.decode.slots, step.decode.positions, strict=True):
            message.decode.rows.add(slot=slot, position=position, count=1, samples=True)
    return message.SerializeToString()


def _start(start: Start, continuation: Continuation) -> pb.Start:
    sequence = continuation.sequence
    return pb.Start(
        slot=start.slot,
        tokens=sequence.tokens,
        blocks=start.loads,
        prompt_tokens=continuation.prompt_tokens,
        adapter=sequence.prompt.adapter,
        sampling=write_sampling(continuation.sampling),
    )


def _row(chunk: Chunk) -> pb.Row:
    if chunk.samples > 1:
        # The last token of the text, and what may follow.
        return pb.Row(
            slot=chunk.slot,
            position=chunk.first,
            count=1,
            speculated=chunk.tokens[1:],
            samples=True,
        )
    return pb.Row(
        slot=chunk.slot,
        position=chunk.first,
        count=len(chunk.tokens),
        samples=chunk.samples == 1,
    )


def read_outcomes(answer: bytes, step: Step) -> dict[int, Outcome]:
    """What came of each slot; raises ExecutionFailed for what is no answer to this step."""
    try:
        message = pb.StepOutcome.FromString(answer)
    except DecodeError as failure:
        raise ExecutionFailed(f"step {step.number}: the agent's answer is none") from failure
    if message.id != step.number:
        raise ExecutionFailed(f"step {step.number}: the agent answered step {message.id}")
    return {chosen.slot: _outcome(chosen) for chosen in message.chosen}


def _outcome(chosen: pb.Chosen) -> Outcome:
    if not (chosen.failure or chosen.complete or chosen.logprobs or chosen.prompt_logprobs):
        # Most say nothing more.
        return Outcome(tuple(chosen.tokens))
    return Outcome(
        tuple(chosen.tokens),
        _error(chosen.failure) if chosen.failure else None,
        chosen.complete,
        _logprobs(chosen.logprobs),
        _logprobs(chosen.prompt_logprobs),
    )


def _error(failure: str) -> ServingError:
    kind = ExecutionFailed if failure.startswith(_FAULT_OF_MODEL) else InvalidRequest
    return kind(failure)


def _logprobs(told: Iterable[pb.TokenLogprobs]) -> tuple[Logprobs, ...]:
    return tuple(
        Logprobs(each.logprob, each.rank, tuple(each.ids), tuple(each.logprobs)) for each in told
    )
