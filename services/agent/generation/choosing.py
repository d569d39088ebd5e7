"""Chooses the tokens that follow after a graph was called."""

import math
from collections.abc import Iterator
from collections.abc import Sequence as Several
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.agent.generation.cache import Floats
from services.agent.generation.choosers import Choosers, Tops
from services.agent.generation.logprobs import logprobs_of
from services.agent.generation.sampling import NoNumbers, NoToken, check_numbers
from services.agent.generation.sequences import Sequence
from services.agent.generation.steps import Chosen, Row

Told = dict[int, Chosen]
"""What came out, by slot."""


class Placed(NamedTuple):
    """A sequence's row of a step, and which row of the graph it was."""

    row: Row
    sequence: Sequence
    at: int


class _Places(NamedTuple):
    """Where tokens are chosen: one place after each row's last token and each speculated one."""

    first_of: list[int]
    """Each row's first place; the others follow it."""
    logits: Floats
    """[N, V]"""
    likeliest: list[int]
    """The most likely token of each place; empty if nobody needs it."""
    peaks: list[float]
    """Their logits."""
    tops: Tops


def choose(
    placed: Several[Placed],
    logits: Floats,
    likeliest: NDArray[np.int32] | None,
    choosers: Choosers,
    chosen: Told,
) -> None:
    """Let every row that samples go on, and note in ``chosen`` what came of it.

    ``logits`` are [B, T, V]; ``likeliest`` [B, T], where the graph found them itself.
    """
    sampling = [each for each in placed if each.row.samples]
    if len(sampling) < len(placed):
        _check_others(placed, logits, chosen)
    if not sampling:
        return
    places = _places(sampling, logits, likeliest, choosers)
    for each, first in zip(sampling, places.first_of, strict=True):
        slot, sequence = each.row.slot, each.sequence
        told = chosen.get(slot)
        if told is None:
            told = chosen[slot] = Chosen(slot)
        if (
            sequence.plain
            and not each.row.speculated
            and sequence.logprobs is None
            and math.isfinite(places.peaks[first])
        ):
            # What most rows of most steps are.
            token = places.likeliest[first]
            sequence.tokens.append(token)
            told.tokens.append(token)
        else:
            _go_on(each, first, places, told)


def _go_on(each: Placed, first: int, places: _Places, told: Chosen) -> None:
    sequence = each.sequence
    taken: list[int] = []
    try:
        for token in _following(each, first, places):
            sequence.take(token)
            taken.append(token)
    except NoToken as failure:
        # A text that may end here, and cannot go on, ends.
        if isinstance(failure, NoNumbers) or not sequence.may_end:
            sequence.failure = told.failure = str(failure)
        else:
            sequence.complete = True
    told.complete = sequence.complete
    if taken:
        told.tokens += taken
        sequence.computed += len(taken) - 1
        if sequence.logprobs is not None:
            of_taken = places.logits[first : first + len(taken)]
            told.logprobs += logprobs_of(of_taken, taken, sequence.logprobs)


def _following(each: Placed, first: int, places: _Places) -> Iterator[int]:
    """The token behind the row's last one, and more as long as speculated ones are right."""
    sequence = each.sequence
    for place, speculated in enumerate((*each.row.speculated, None), first):
        # One that became plain with the last token is not looked for among them.
        if sequence.plain and places.likeliest:
            check_numbers(places.peaks[place])
            token = places.likeliest[place]
        else:
            token = places.tops.choose(sequence, place, places.logits[place])
        yield token
        if token != speculated or sequence.complete:
            return


def _places(
    sampling: Several[Placed],
    logits: Floats,
    likeliest: NDArray[np.int32] | None,
    choosers: Choosers,
) -> _Places:
    if logits.shape[1] == 1:
        # Without a copy; what is found for rows that nobody asked for is not looked at.
        first_of = [each.at for each in sampling]
        picked, found = logits[:, 0], None if likeliest is None else likeliest[:, 0]
    else:
        first_of, rows, columns = _rows_and_columns(sampling)
        picked = logits[rows, columns]
        found = None if likeliest is None else likeliest[rows, columns]
    sequences = [each.sequence for each in sampling]
    tops = choosers.tops(picked, sequences)
    if not any([each.plain for each in sequences]):  # noqa: C419 (a list is faster)
        return _Places(first_of, picked, [], [], tops)
    ids = choosers.argmax(picked) if found is None else found
    peaks = picked[np.arange(len(picked)), ids]
    return _Places(first_of, picked, ids.tolist(), peaks.tolist(), tops)


def _rows_and_columns(sampling: Several[Placed]) -> tuple[list[int], list[int], list[int]]:
    """Each row's first place among all of them, and where the places are in [B, T]."""
    first_of: list[int] = []
    rows: list[int] = []
    columns: list[int] = []
    for row, _, at in sampling:
        first_of.append(len(rows))
        count = 1 + len(row.speculated)
        rows += [at] * count
        columns += range(row.length - 1, row.length - 1 + count)
    return first_of, rows, columns


def likeliest_of(placed: Several[Placed], logits: Floats) -> list[int]:
    """The most likely token of each place where one is chosen, whoever chooses it."""
    _, rows, columns = _rows_and_columns([each for each in placed if each.row.samples])
    likeliest: list[int] = logits[rows, columns].argmax(-1).tolist()
    return likeliest


def _check_others(placed: Several[Placed], logits: Floats, chosen: Told) -> None:
    """What is no number must not stay in the cache, even if nobody comes to choose by it."""
    for row, sequence, at in placed:
        if not row.samples:
            try:
                check_numbers(float(logits[at, row.length - 1].max()))
            except NoNumbers as failure:
                sequence.failure = str(failure)
                chosen[row.slot] = Chosen(row.slot, failure=sequence.failure)


def tell_of_prompts(placed: Several[Placed], logits: Floats, chosen: Told) -> None:
    """Note how likely the prompt tokens behind each row's tokens were."""
    for row, sequence, at in placed:
        if sequence.prompt_logprobs is None:
            continue
        following = sequence.tokens[row.position + 1 : row.position + 1 + row.length]
        of_prompt = following[: max(0, sequence.prompt_tokens - row.position - 1)]
        if of_prompt:
            told = chosen.setdefault(row.slot, Chosen(row.slot))
            of_row = logits[at, : len(of_prompt)]
            told.prompt_logprobs += logprobs_of(of_row, of_prompt, sequence.prompt_logprobs)
