"""Cache that goes from one device to another: inside messages, or in the worker's memory."""

import pytest

from services.agent.generation.steps import Export, Forward, Import, Sampling
from shared.arena import Placed
from shared.errors import InvalidRequest, MemoryNotShared
from shared.regions import HEADER_BYTES, OwnRegion, Region
from tests.support.language import Engine, load, recomputed, toy

PROMPT = [5, 3, 8, 1, 9, 2, 7]
TOKEN_BYTES = 2 * 2 * 2 * 3 * 4


@pytest.fixture
def devices(tmp_path):
    files = toy(tmp_path, ((1, 8, 8), (1, 8, 32)), ((4, 1, 8), (4, 1, 32)))
    return Engine(load(files)), Engine(load(files))


def computed(engine, slot=0, sampling=Sampling()):  # noqa: B008 (it is frozen)
    """A prompt in a slot, and its first token."""
    start = engine.start(slot, PROMPT, sampling)
    engine.send(starts=[start], prefills=[Forward(0, [engine.row(slot, 8)])])
    return engine.texts[slot]


def taken_over(engine, text, *imports, slot=2):
    """The text in a slot of another device."""
    start = engine.start(slot, text, prompt_tokens=len(PROMPT))
    engine.computed[slot] = sum(each.tokens for each in imports)
    engine.send(starts=[start], imports=imports)


def go_on(engine, slot, number):
    return engine.run(slot, number, decode=3, chunk=8)


def test_a_text_goes_on_with_what_another_device_computed(devices):
    giver, taker = devices
    text = computed(giver)
    outcome = giver.send(exports=[Export(0, 0, 3), Export(0, 3, 4)])
    assert [len(each) for each in outcome.exported] == [3 * TOKEN_BYTES, 4 * TOKEN_BYTES]
    first, second = outcome.exported
    taken_over(taker, text, Import(2, 0, 3, first), Import(2, 3, 4, second))
    assert go_on(taker, 2, 20) == recomputed(PROMPT, 21)[1:]


def test_what_is_taken_in_may_be_decoded_in_the_same_step(devices):
    giver, taker = devices
    text = computed(giver)
    (content,) = giver.send(exports=[Export(0, 0, 7)]).exported
    start = taker.start(1, text, prompt_tokens=len(PROMPT))
    taker.computed[1] = 7
    taker.send(
        starts=[start],
        imports=[Import(1, 0, 7, content)],
        decode=Forward(3, [taker.row(1)]),
    )
    assert taker.texts[1] == PROMPT + recomputed(PROMPT, 2)


def test_memory_of_the_worker_carries_it(devices):
    giver, taker = devices
    region = OwnRegion()
    text = computed(giver)
    outcome = giver.send(exports=[Export(0, 0, 7, region.told)])
    assert list(outcome.exported) == [b""]
    taken_over(taker, text, Import(2, 0, 7, region.told))
    assert go_on(taker, 2, 8) == recomputed(PROMPT, 9)[1:]
    # The same bytes as inside a message.
    (inside,) = giver.send(exports=[Export(0, 0, 7)]).exported
    (found,) = region.arena.read([Placed(HEADER_BYTES, "uint8", (7 * TOKEN_BYTES,))])
    assert found.tobytes() == inside
    region.close()


def test_the_rest_can_be_computed(devices):
    giver, taker = devices
    text = computed(giver)
    (content,) = giver.send(exports=[Export(0, 0, 4)]).exported
    taken_over(taker, text, Import(2, 0, 4, content))
    assert go_on(taker, 2, 8) == recomputed(PROMPT, 9)[1:]


def test_a_longer_cache_makes_room_for_itself(tmp_path):
    files = toy(tmp_path, ((1, 16, 8), (1, 16, 32)), ((4, 1, 8), (4, 1, 32)))
    giver, taker = Engine(load(files)), Engine(load(files))
    prompt = list(range(16))
    start = giver.start(0, prompt)
    giver.send(starts=[start], prefills=[Forward(0, [giver.row(0, 16)])])
    (content,) = giver.send(exports=[Export(0, 0, 16)]).exported
    short = taker.start(0, [1, 2])
    taker.send(starts=[short], prefills=[Forward(0, [taker.row(0, 2)])])
    start = taker.start(2, giver.texts[0], prompt_tokens=16)
    taker.computed[2] = 16
    taker.send(starts=[start], imports=[Import(2, 0, 16, content)])
    for _ in range(4):
        taker.send(decode=Forward(3, [taker.row(0), taker.row(2)]))
    assert taker.texts[2] == prompt + recomputed(prompt, 5)
    assert taker.texts[0] == [1, 2, *recomputed([1, 2], 5)]


@pytest.mark.parametrize(
    ("export", "words"),
    [
        (Export(3, 0, 1), "slot 3 has no sequence"),
        (Export(9, 0, 1), "no slot 9"),
        (Export(0, 0, 8), "the 7 tokens in the cache of slot 0, got 8 from position 0"),
        (Export(0, 7, 1), "got 1 from position 7"),
        (Export(0, 0, 0), "got 0"),
    ],
)
def test_what_is_not_there_cannot_be_given(devices, export, words):
    giver, _ = devices
    computed(giver)
    with pytest.raises(InvalidRequest, match=words):
        giver.send(exports=[export])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Import(2, 1, 2, bytes(2 * TOKEN_BYTES)), "from position 0 on, got 1"),
        (Import(2, 0, 8, bytes(8 * TOKEN_BYTES)), "cache of 1 to 7 tokens, got 8"),
        (Import(2, 0, 0, b""), "cache of 1 to 7 tokens, got 0"),
        (Import(2, 0, 2, bytes(2 * TOKEN_BYTES - 4)), "cache of another size"),
        (Import(2, 0, 2, bytes(2 * TOKEN_BYTES - 1)), "cache of another size"),
        (Import(3, 0, 2, bytes(2 * TOKEN_BYTES)), "slot 3 has no sequence"),
    ],
)
def test_what_does_not_fit_is_refused(devices, given, words):
    _, taker = devices
    with pytest.raises(InvalidRequest, match=words):
        taken_over(taker, [*PROMPT, 4], given)


def test_memory_that_is_not_there_is_named(devices):
    giver, taker = devices
    text = computed(giver)
    nowhere = Region(1, 1 << 20, bytes(16))
    with pytest.raises(MemoryNotShared):
        giver.send(exports=[Export(0, 0, 7, nowhere)])
    with pytest.raises(MemoryNotShared):
        taken_over(taker, text, Import(2, 0, 7, nowhere))
