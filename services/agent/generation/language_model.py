"""A language model in a device process: what steps of a worker's engine are applied to."""

from pathlib import Path

from services.agent.backends import LoadedModel
from services.agent.cores import Cores
from services.agent.generation.agreement import Agreement
from services.agent.generation.block_store import BlockStore
from services.agent.generation.cache import WorkingCache
from services.agent.generation.calls import Calls
from services.agent.generation.choosers import Choosers
from services.agent.generation.choosing import Placed, choose, likeliest_of, tell_of_prompts
from services.agent.generation.grammars import Grammars
from services.agent.generation.graphs import Bucket, Graphs, graphs_of
from services.agent.generation.row_check import check_row
from services.agent.generation.sequences import Sequence
from services.agent.generation.steps import (
    Chosen,
    Forward,
    Row,
    Start,
    Step,
    StepOutcome,
    StoreBlock,
)
from services.agent.generation.transfers import Transfers
from shared.errors import InvalidRequest
from shared.membership import GangPart, ModelFiles
from shared.servable import LanguageGraphs


class LanguageModel:
    """Graphs, the KV cache, and the sequences that have slots.

    As a rank of a gang it calls the graphs that all ranks call, in which they wait for one
    another; one of them chooses tokens.
    """

    def __init__(
        self,
        files: ModelFiles,
        language: LanguageGraphs,
        model: LoadedModel,
        cores: Cores,
        part: GangPart | None = None,
    ) -> None:
        """Raises LoadFailed when graphs do not fit one another, or the tokenizer is none."""
        graphs = graphs_of(files, language, model.signature.subgraphs)
        kind = graphs.kind
        self._where = f"model '{files.key}'"
        self._graphs: Graphs = graphs
        self._vocabulary = kind.vocabulary
        self._agreement = Agreement(part, kind.vocabulary)
        self._grammars: Grammars | None = None
        if language.tokenizer and self._agreement.chooses:
            self._grammars = Grammars(_tokenizer_of(files, language), kind.vocabulary)
        self._cache = WorkingCache(kind, graphs.slots, graphs.lengths)
        self._store = BlockStore(kind, language.blocks, language.block_size)
        self._calls = Calls(model, graphs, self._cache, cores, language.decode_cores)
        self._choosers = Choosers(model, graphs, on_device=language.device_post_sampling)
        self._slots: list[Sequence | None] = [None] * graphs.slots
        self._transfers = Transfers(self._cache, self._sequence_of, self._used)
        self._next: int | None = None

    def apply(self, step: Step) -> StepOutcome:
        """Do one step.

        Raises InvalidRequest for one that does not fit what was done before, MemoryNotShared for
        memory that cannot be reached, and whatever a graph raises. Then nothing is kept: until a
        step forgets, all are refused.
        """
        where = f"{self._where}, step {step.id}"
        self._begin(step, where)
        chosen: dict[int, Chosen] = {}
        likeliest: list[int] | None = [] if step.compares else None
        for store in step.stores:
            self._store_block(store, where)
        for slot in step.freed:
            self._slots[self._taken_slot(slot, where)] = None
        for start in step.starts:
            self._start(start, chosen, where)
        for each in step.imports:
            self._transfers.take(each, where)
        for forward in step.prefills:
            self._forward(forward, chosen, likeliest, where)
        if step.decode is not None:
            self._forward(step.decode, chosen, likeliest, where)
        exported = [self._transfers.give(each, where) for each in step.exports]
        self._next = step.id + 1
        came = list(chosen.values()) if self._agreement.chooses else []
        self._agreement.chose(came)
        return StepOutcome(step.id, came, self._calls.seconds, exported, likeliest or ())

    def _begin(self, step: Step, where: str) -> None:
        """Check that it is the next one, and know what came of the one before."""
        if step.forget:
            self._forget()
        elif self._next is None:
            raise InvalidRequest(
                f"{where}: nothing is kept here of steps before, expected one that forgets"
            )
        elif step.id != self._next:
            raise InvalidRequest(f"{where}: expected step {self._next}")
        self._next = None
        self._calls.seconds = 0.0
        self._agreement.check(step.told, where)
        for told in step.told:
            self._take(told, where)

    def _forget(self) -> None:
        self._agreement.forget()
        self._slots = [None] * len(self._slots)
        self._cache.clear()
        self._store.clear()

    def _taken_slot(self, slot: int, where: str) -> int:
        if slot >= len(self._slots):
            raise InvalidRequest(f"{where}: there is no slot {slot}, only {len(self._slots)} slots")
        if self._slots[slot] is None:
            raise InvalidRequest(f"{where}: slot {slot} has no sequence")
        return slot

    def _sequence_of(self, slot: int, where: str) -> Sequence:
        sequence = self._slots[self._taken_slot(slot, where)]
        assert sequence is not None
        return sequence

    def _take(self, told: Chosen, where: str) -> None:
        """Another rank chose that."""
        sequence = self._sequence_of(told.slot, where)
        if self._agreement.chooses:
            return
        for token in told.tokens:
            sequence.take(token)
        # What was speculated rightly is in the cache already.
        sequence.computed += max(0, len(told.tokens) - 1)
        sequence.complete = told.complete
        if told.failure:
            sequence.failure = told.failure
            self._cache.wipe(told.slot)

    def _store_block(self, store: StoreBlock, where: str) -> None:
        sequence = self._sequence_of(store.slot, where)
        if store.block >= self._store.blocks:
            raise InvalidRequest(
                f"{where}: there is no block {store.block}, only {self._store.blocks} blocks"
            )
        computed = min(sequence.computed, self._cache.longest)
        if (store.index + 1) * self._store.block_size > computed:
            raise InvalidRequest(
                f"{where}: block {store.index} of slot {store.slot} is not full: {computed} tokens"
                f" are in its cache, a block has {self._store.block_size}"
            )
        self._store.store(store.block, self._cache, store.slot, store.index)

    def _start(self, start: Start, chosen: dict[int, Chosen], where: str) -> None:
        slot = start.slot
        if slot >= len(self._slots):
            raise InvalidRequest(f"{where}: there is no slot {slot}, only {len(self._slots)} slots")
        if self._slots[slot] is not None:
            raise InvalidRequest(f"{where}: slot {slot} has a sequence already")
        self._check_start(start, f"{where}, slot {slot}")
        sequence = Sequence(
            start, self._vocabulary, self._grammars, chooses=self._agreement.chooses
        )
        loaded = len(start.blocks) * self._store.block_size
        if loaded:
            self._cache.reserve(loaded, self._used)
            self._store.load(start.blocks, self._cache, slot)
            sequence.computed = loaded
        self._slots[slot] = sequence
        if sequence.failure:
            chosen[slot] = Chosen(slot, failure=sequence.failure)

    def _check_start(self, start: Start, where: str) -> None:
        tokens = len(start.tokens)
        if not 1 <= start.prompt_tokens <= tokens:
            raise InvalidRequest(
                f"{where}: expected 1 to {tokens} of {tokens} tokens to be the prompt's,"
                f" got {start.prompt_tokens}"
            )
        if start.adapter and not self._graphs.kind.adapters:
            raise InvalidRequest(f"{where}: adapter {start.adapter}, but graphs have no adapters")
        for block in start.blocks:
            if not self._store.holds(block):
                raise InvalidRequest(f"{where}: block {block} holds nothing")
        most = min(tokens - 1, self._cache.longest) // self._store.block_size
        if len(start.blocks) > most:
            raise InvalidRequest(
                f"{where}: of {tokens} tokens, at least one of which must be computed, expected at"
                f" most {most} blocks, got {len(start.blocks)}"
            )

    def _used(self) -> list[tuple[int, int]]:
        """How many tokens of which slots are in the cache, or may be."""
        return [
            (slot, each.computed + self._agreement.unsure(slot))
            for slot, each in enumerate(self._slots)
            if each is not None
        ]

    def _forward(
        self,
        forward: Forward,
        chosen: dict[int, Chosen],
        likeliest: list[int] | None,
        where: str,
    ) -> None:
        number = forward.graph
        if number >= self._graphs.first_chooser:
            raise InvalidRequest(
                f"{where}: there is no graph {number} for tokens, only {self._graphs.first_chooser}"
            )
        bucket = self._graphs.buckets[number]
        rows = self._rows(forward, bucket, chosen, f"{where}, graph {number}")
        if not rows:
            return
        result = self._calls.run(number, rows, self._used)
        placed = [Placed(row, each, at) for (row, each), at in zip(rows, result.rows, strict=True)]
        if likeliest is not None:
            likeliest += likeliest_of(placed, result.logits)
        if not self._agreement.chooses:
            self._agreement.wait_for(row for row, _ in rows)
            return
        if self._agreement.has_others:
            placed = [each for each in placed if not each.sequence.ended]
        tell_of_prompts(placed, result.logits, chosen)
        choose(placed, result.logits, result.likeliest, self._choosers, chosen)
        for row, sequence in rows:
            if sequence.failure:
                self._cache.wipe(row.slot)

    def _rows(
        self, forward: Forward, bucket: Bucket, chosen: dict[int, Chosen], where: str
    ) -> list[tuple[Row, Sequence]]:
        """The rows with their sequences, without those that ended, of which it is told again.

        Other ranks may not know yet that one ended: then it is computed, and nothing is chosen.
        """
        if len(forward.rows) > bucket.rows:
            raise InvalidRequest(
                f"{where}: expected at most {bucket.rows} rows, got {len(forward.rows)}"
            )
        found: list[tuple[Row, Sequence]] = []
        slots = self._slots
        for row in forward.rows:
            slot = row.slot
            sequence = slots[slot] if slot < len(slots) else None
            if sequence is None:
                self._taken_slot(slot, where)
                continue
            if sequence.ended:
                told = chosen.setdefault(slot, Chosen(slot))
                told.failure, told.complete = sequence.failure, sequence.complete
                if sequence.wrong or not self._agreement.has_others:
                    continue
            check_row(row, sequence, bucket, where)
            found.append((row, sequence))
        if len({row.slot for row in forward.rows}) != len(forward.rows):
            raise InvalidRequest(f"{where}: a slot is in several rows")
        return found


def _tokenizer_of(files: ModelFiles, language: LanguageGraphs) -> Path:
    """The one beside the files, which may lie on another machine than the worker's, or its own."""
    own = Path(files.paths[0]).with_name(Path(language.tokenizer).name)
    return own if own.is_file() else Path(language.tokenizer)
