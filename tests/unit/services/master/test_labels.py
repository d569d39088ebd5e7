"""Version labels: how they are written, what each weighs, who gets a request that names one."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.master.labels import Label, check_labels, parse_labels, pick, weights
from services.master.router import Choice, Router
from services.master.settings import MasterSettings
from services.master.spec import Spec
from shared.errors import InvalidRequest, NotServed, Unavailable
from shared.membership import Offer, OfferedMethod, Offers
from shared.servable import ServableVersion
from shared.settings import SettingsError, read

RUN = Spec("add", "run")
STABLE, CANARY = Label("stable", 3, 95), Label("canary", 4, 5)


class Draws(random.Random):
    """Gives the draws that a test says."""

    def __init__(self, *draws):
        super().__init__(1)
        self._draws = list(draws)

    def random(self):
        return self._draws.pop(0)


def offers(*versions, methods=("run",)):
    return Offers(
        tuple(
            Offer(ServableVersion("add", v), dict.fromkeys(methods, OfferedMethod()), 9)
            for v in versions
        )
    )


def router(*draws, labels=(STABLE, CANARY), **workers):
    made = Router(Draws(*draws) if draws else random.Random(7), {"add": tuple(labels)})
    for name, offered in workers.items():
        made.update(name, offered)
    return made


def idle(worker):
    return 0


def test_labels_are_read_from_settings():
    texts = ["add:stable=3@95", "add:canary=4@5", "sub:a.b-c_1=7"]
    assert parse_labels(texts) == {"add": (CANARY, STABLE), "sub": (Label("a.b-c_1", 7, 0),)}
    assert parse_labels([]) == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("add", "expected SERVABLE:LABEL=VERSION[@WEIGHT], got 'add'"),
        ("add:stable", "expected SERVABLE"),
        (":stable=1", "expected SERVABLE"),
        ("add:stable=x", "expected SERVABLE"),
        ("add:stable=1@x", "expected SERVABLE"),
        ("add:stable=1@-1", "expected SERVABLE"),
        ("add:stable=0", "expected a version from 1 on, got 0"),
        ("add:1=1", "expected a letter, then"),
        ("add:a/b=1", "expected a letter, then"),
        ("add:stable=1@1000001", "expected a weight from 0 to 1000000, got 1000001"),
    ],
)
def test_labels_that_make_no_sense_are_refused(text, fault):
    with pytest.raises(ValueError) as refused:
        parse_labels([text])
    assert fault in str(refused.value)


def test_a_label_stands_for_one_version():
    with pytest.raises(InvalidRequest, match="more than once"):
        check_labels("add", [Label("a", 1), Label("a", 2)])
    with pytest.raises(InvalidRequest, match="at most 100 labels, got 101"):
        check_labels("add", [Label(f"a{n}", 1) for n in range(101)])


def test_versions_weigh_what_their_labels_weigh_together():
    assert weights([STABLE, CANARY, Label("more", 4, 2), Label("none", 9)]) == {3: 95, 4: 7}
    assert weights([Label("a", 1), Label("b", 2)]) == {}


shares = st.lists(st.integers(1, 1_000_000), min_size=1, max_size=6)


@given(shares, st.floats(0, 1, exclude_max=True))
def test_a_draw_falls_on_the_place_whose_part_of_the_sum_it_lies_in(parts, draw):
    place = pick(parts, draw)
    assert sum(parts[:place]) <= draw * sum(parts) + 1e-3
    assert draw * sum(parts) <= sum(parts[: place + 1]) + 1e-3


@given(st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_of_evenly_spread_draws_each_place_gets_its_weight(parts):
    total = sum(parts)
    drawn = Counter(pick(parts, (n + 0.5) / total) for n in range(total))
    assert [drawn[place] for place in range(len(parts))] == parts


def test_requests_without_a_version_go_by_the_weights():
    made = router(0.0, 0.949, 0.951, 0.999, a=offers(3, 4, 5))
    chosen = [made.choose(RUN, idle).version for _ in range(4)]
    assert chosen == [3, 3, 4, 4]
    assert made.choose(RUN._replace(version=5), idle) == Choice("a", 5)


@given(st.sets(st.sampled_from([3, 4])), st.floats(0, 1, exclude_max=True))
def test_a_weighted_version_that_is_away_fails_nobody(served, draw):
    made = router(draw, draw, a=offers(*served, 1, 5))
    assert made.choose(RUN, idle).version in (served or {5})


def test_a_version_that_refuses_leaves_its_part_to_the_others():
    made = router(0.99, a=offers(3, 4), b=offers(4))
    refused = {Choice("a", 4), Choice("b", 4)}
    assert made.choose(RUN, idle, refused) == Choice("a", 3)
    with pytest.raises(Unavailable, match="no other worker serves it now"):
        made.choose(RUN, idle, refused | {Choice("a", 3)})


def test_a_weighted_version_without_the_method_gets_none_of_its_requests():
    made = router(a=offers(3), b=offers(4, methods=("walk",)))
    assert {made.choose(RUN, idle).version for _ in range(50)} == {3}
    assert made.choose(Spec("add", "walk"), idle).version == 4


def test_without_weights_the_newest_gets_all():
    made = router(labels=[Label("stable", 3), Label("canary", 4)], a=offers(3, 4, 5))
    assert made.choose(RUN, idle).version == 5
    assert made.choose(RUN._replace(label="stable"), idle) == Choice("a", 3)


def test_labels_may_change_at_any_time():
    made = router(a=offers(3, 4))
    assert made.choose(RUN._replace(label="canary"), idle).version == 4
    made.set_labels("add", (Label("canary", 3, 1),))
    assert made.choose(RUN._replace(label="canary"), idle).version == 3
    assert made.choose(RUN, idle).version == 3
    with pytest.raises(NotServed):
        made.choose(RUN._replace(label="stable"), idle)


@pytest.mark.parametrize(
    ("spec", "error", "text"),
    [
        (
            RUN._replace(label="other"),
            NotServed,
            "Request servable(add) method(run) label(other) , label is not available,"
            " labels of it: canary, stable",
        ),
        (
            RUN._replace(label="canary"),
            Unavailable,
            "Request servable(add) method(run) label(canary) , it is version 4,"
            " no worker serves it now",
        ),
        (
            RUN._replace(label="stable", version=3),
            InvalidRequest,
            "Request servable(add) method(run) version(3) label(stable) ,"
            " expected a version or a label, got both",
        ),
        (
            Spec("add", "walk", label="stable"),
            NotServed,
            "Request servable(add) method(walk) , method is not available",
        ),
        (
            Spec("sub", "run", label="stable"),
            NotServed,
            "Request servable(sub) method(run) , servable is not available",
        ),
    ],
)
def test_labels_that_lead_nowhere_say_so(spec, error, text):
    with pytest.raises(error) as failure:
        router(a=offers(3)).choose(spec, idle)
    assert type(failure.value) is error
    assert failure.value.message == text


def test_a_label_of_a_master_that_knows_no_worker_yet_may_be_asked_for_again():
    with pytest.raises(Unavailable, match="no worker has joined yet"):
        router().choose(RUN._replace(label="other"), idle)


def test_labels_come_from_the_command_line_the_environment_and_a_file(tmp_path, monkeypatch):
    expected = ("add:stable=3@95", "add:canary=4@5")
    assert read(MasterSettings, ["--labels", ",".join(expected)]).labels == expected
    file = tmp_path / "mindserve.toml"
    file.write_text(f"[master]\nlabels = {list(expected)}\n")
    assert read(MasterSettings, ["--config", str(file)]).labels == expected
    monkeypatch.setenv("MINDSERVE_MASTER_LABELS", ",".join(expected))
    assert read(MasterSettings, []).labels == expected
    with pytest.raises(SettingsError, match=r"SERVABLE:LABEL=VERSION\[@WEIGHT\], got 'add=3'"):
        read(MasterSettings, ["--labels", "add=3"])
