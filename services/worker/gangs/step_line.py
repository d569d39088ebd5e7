"""The way of a language model's steps to the ranks of a gang."""

import asyncio
from collections.abc import Sequence

from services.worker.gangs.formation import Formation
from services.worker.gangs.live import LiveGang
from services.worker.gangs.step_messages import Chosen, StepAnswer, write_head, write_step
from shared.errors import AgentLost, ExecutionFailed, InvalidRequest, Refused, ServingError
from shared.membership import CHOOSING_RANK, GenerationRole


class GangLine:
    """Carries steps to all ranks at once, one after the other.

    One rank chooses tokens; with each step all of them are told what it chose in the one before.
    """

    # Ranks go on with what they are told of the step before.
    takes_ahead = False
    role = GenerationRole.BOTH
    shares_memory = False

    def __init__(self, formation: Formation, gang: LiveGang) -> None:
        self._formation = formation
        self._gang = gang
        self._chosen: Chosen = ()

    async def run(self, head: bytes, step: bytes) -> bytes:
        """Have every rank do a step; the answer of the one that chooses.

        See ``ask_ranks`` for errors; a gang that failed is ended, and begins anew.
        """
        gang = self._gang
        compares = gang.rules.compare
        told, self._chosen = self._chosen, ()
        gang.in_hand += 1
        try:
            answers = await gang.step(
                write_head(head, gang.epoch), write_step(step, told, compares=compares)
            )
            said = StepAnswer(answers[CHOOSING_RANK])
            if compares:
                _compare(said, answers)
        except asyncio.CancelledError:
            if gang.over.done():
                # Whoever leaves it because it ended is told why.
                gang.over.result()
            if gang.leaving:
                raise AgentLost(f"{gang.what}: its gang ends: {gang.leaving}") from None
            raise
        except (InvalidRequest, Refused):
            raise
        except ServingError as failure:
            # Later, because this step is the first to say how it ended.
            later = asyncio.get_running_loop().call_soon
            later(self._formation.refuse, gang, failure.message)
            raise
        finally:
            gang.in_hand -= 1
            self._formation.given_back(gang)
        self._chosen = said.chosen
        return answers[CHOOSING_RANK]


def _compare(said: StepAnswer, answers: Sequence[bytes]) -> None:
    """Raises ExecutionFailed when ranks disagree on which tokens are the most likely."""
    for rank, answer in enumerate(answers):
        if StepAnswer(answer).likeliest != said.likeliest:
            raise ExecutionFailed(
                f"rank {rank} found other tokens to be the most likely than rank {CHOOSING_RANK}"
            )
