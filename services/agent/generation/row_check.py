"""Whether a row of a step fits its sequence and the graph that is to compute it."""

from services.agent.generation.graphs import Bucket
from services.agent.generation.sequences import Sequence
from services.agent.generation.steps import Row
from shared.errors import InvalidRequest


def check_row(row: Row, sequence: Sequence, bucket: Bucket, where: str) -> None:
    """Raises InvalidRequest saying what was expected; ``where`` is the graph's."""
    _, position, length, speculated, samples = row
    if (
        position == sequence.computed <= bucket.length
        and 1 <= length <= bucket.tokens - len(speculated)
        and (
            position + length == len(sequence.tokens)
            if samples
            else position + length <= len(sequence.tokens) and not speculated
        )
    ):
        return
    where = f"{where}, slot {row.slot}"
    if position != sequence.computed:
        raise InvalidRequest(
            f"{where}: expected position {sequence.computed}, what is in the cache, got {position}"
        )
    if position > bucket.length:
        raise InvalidRequest(
            f"{where}: expected at most {bucket.length} tokens in the cache, got {position}"
        )
    if not 1 <= length <= bucket.tokens - len(speculated):
        raise InvalidRequest(
            f"{where}: expected 1 to {bucket.tokens} tokens, got {length} and"
            f" {len(speculated)} speculated ones"
        )
    raise InvalidRequest(
        f"{where}: tokens are chosen, and speculated about, behind the last of the sequence's"
        f" {len(sequence.tokens)}: got {length} from position {position} on,"
        f" {len(speculated)} speculated, {'with' if samples else 'without'} sampling"
    )
