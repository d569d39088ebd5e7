"""Any steps that a worker may send give the tokens of a model that computes everything again."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.agent.generation.sampling import Chooser
from services.agent.generation.steps import Forward, Sampling, StoreBlock
from tests.support.language import Engine, Ranks, load, toy, whole_text

BLOCK = 4
PREFILL = [(1, 6, 8), (2, 6, 20), (3, 3, 12)]
DECODE = [(2, 1, 8), (4, 1, 12), (4, 1, 20)]
LONGEST = 20
KINDS = [
    Sampling(), Sampling(temperature=2.0, top_p=0.9, seed=5), Sampling(stop_ids=(3,), min_tokens=4),
]  # fmt: skip

tokens = st.lists(st.integers(0, 60), min_size=1, max_size=12)


class Worker(Engine):
    """Puts random steps together that fit what slots and blocks hold."""

    def __init__(self, model, data):
        super().__init__(model)
        self._data = data
        self.blocks = {}  # what text a block ends
        self.sampling = {}
        self.prompts = {}

    def draw(self, strategy):
        return self._data.draw(strategy)

    def step(self):
        draw = self.draw
        stores = []
        for slot in list(self.texts):
            full = min(self.computed[slot], LONGEST) // BLOCK
            if full and draw(st.booleans()):
                index, block = draw(st.integers(0, full - 1)), draw(st.integers(0, 5))
                stores.append(StoreBlock(slot, index, block))
                self.blocks[block] = tuple(self.texts[slot][: (index + 1) * BLOCK])
        freed, starts = [], []
        for slot in range(4):
            if slot in self.texts and draw(st.integers(0, 7)) == 0:
                freed.append(slot)
                put_off = self.texts.pop(slot)
                if draw(st.booleans()) and len(put_off) <= LONGEST:
                    starts.append(self.begin(slot, put_off, self.prompts[slot]))
            elif slot not in self.texts and draw(st.booleans()):
                known = draw(st.sampled_from([(), *self.blocks.values()]))
                self.sampling[slot] = draw(st.sampled_from(KINDS))
                text = [*known, *draw(tokens)][:LONGEST]
                starts.append(self.begin(slot, text, len(text)))
        prefills = []
        for graph, (rows, most, length) in enumerate(PREFILL):
            going = [s for s in self.texts if 0 <= self.computed[s] <= length]
            chosen = [s for s in going if draw(st.booleans())][:rows]
            made = [self.some(slot, most) for slot in chosen if self.known(slot)]
            if made:
                prefills.append(Forward(graph, made))
        return stores, freed, starts, prefills

    def known(self, slot):
        """Tokens that are not computed yet; none behind a choice that this step makes."""
        return self.computed[slot] < len(self.texts[slot]) and slot not in self.busy

    def some(self, slot, most):
        left = len(self.texts[slot]) - self.computed[slot]
        length = self.draw(st.integers(1, min(left, most)))
        speculated = ()
        if length == left:
            self.busy.add(slot)
            expected = self.expected(slot, most - length)
            right = self.draw(st.integers(0, len(expected)))
            wrong = [(each + 1) % 61 for each in expected[right:]]
            speculated = tuple(expected[:right] + wrong)[: self.draw(st.integers(0, len(expected)))]
        return self.row(slot, length, speculated)

    def begin(self, slot, text, prompt_tokens):
        """A start with as many blocks as hold the text's beginning, or fewer."""
        blocks = []
        most = (len(text) - 1) // BLOCK
        for index in range(self.draw(st.integers(0, most))):
            beginning = tuple(text[: (index + 1) * BLOCK])
            holding = [block for block, held in self.blocks.items() if held == beginning]
            if not holding:
                break
            blocks.append(holding[0])
        self.prompts[slot] = prompt_tokens
        return self.start(
            slot,
            text,
            self.sampling[slot],
            blocks=blocks,
            block_size=BLOCK,
            prompt_tokens=prompt_tokens,
        )

    def expected(self, slot, number):
        """What follows, by computing all of it again for each token."""
        text = list(self.texts[slot])
        first = self.prompts[slot]
        chooser = Chooser(self.sampling[slot], 61, text[:first], text[first:])
        for _ in range(number):
            logits = whole_text()(tuple(text))[-1]
            text.append(chooser.choose(logits, len(text)))
            chooser.took(text[-1])
        return text[len(text) - number :]

    def one(self):
        """Draw a step, send it, and check what came out."""
        self.busy = set()
        stores, freed, starts, prefills = self.step()
        decoding = [
            slot
            for slot in self.texts
            if slot not in self.busy and self.computed[slot] == len(self.texts[slot]) - 1
        ]
        decode = None
        fitting = [n for n, each in enumerate(DECODE) if self.fits(each, decoding)]
        if decoding and fitting:
            graph = self.draw(st.sampled_from(fitting))
            slots = [s for s in self.draw(st.permutations(decoding)) if self.fits_one(graph, s)]
            self.busy.update(slots)
            rows = [self.row(slot) for slot in slots[: DECODE[graph][0]]]
            decode = Forward(len(PREFILL) + graph, rows) if rows else None
        before = {slot: list(text) for slot, text in self.texts.items()}
        sampled = {
            row.slot: row
            for forward in [*prefills, *([decode] if decode else [])]
            for row in forward.rows
            if row.samples
        }
        self.send(stores=stores, freed=freed, starts=starts, prefills=prefills, decode=decode)
        for slot, text in before.items():
            new = self.texts[slot][len(text) :]
            self.texts[slot], after = text, self.texts[slot]
            assert new == self.expected(slot, len(new))
            self.texts[slot] = after
            if slot in sampled:
                speculated = list(sampled[slot].speculated)
                kept = len(new) - 1
                assert new[:kept] == speculated[:kept]
                assert kept == len(speculated) or new[kept] != speculated[kept]
                self.computed[slot] += kept
            else:
                assert not new

    def fits(self, bucket, slots):
        return any(self.computed[slot] <= bucket[2] for slot in slots)

    def fits_one(self, graph, slot):
        return self.computed[slot] <= DECODE[graph][2]


def send_steps(model, data, tmp_path_factory):
    files = toy(tmp_path_factory.mktemp("toy"), PREFILL, DECODE, block_size=BLOCK, blocks=6)
    worker = Worker(model(files), data)
    for _ in range(data.draw(st.integers(1, 14))):
        worker.one()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_whatever_is_sent(data, tmp_path_factory):
    send_steps(load, data, tmp_path_factory)


@pytest.mark.timeout(400)
@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_whatever_is_sent_to_ranks(data, tmp_path_factory):
    """After each step the caches of all ranks hold the same."""
    send_steps(Ranks, data, tmp_path_factory)
