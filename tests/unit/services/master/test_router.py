import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.master.router import Choice, Router
from services.master.spec import Spec
from shared.errors import NotServed, Unavailable
from shared.membership import Offer, OfferedMethod, Offers
from shared.servable import ServableVersion


def offers(*versions, name="add", methods=("run",), draining=False):
    return Offers(
        tuple(
            Offer(ServableVersion(name, v), dict.fromkeys(methods, OfferedMethod()), 10)
            for v in versions
        ),
        draining,
    )


def router(**workers):
    made = Router(random.Random(1))
    for worker, offered in workers.items():
        made.update(worker, offered)
    return made


def idle(_):
    return 0


RUN = Spec("add", "run")


def test_version_0_is_the_newest_that_lives_and_does_not_drain():
    made = router(a=offers(1), b=offers(1, 2), c=offers(3, draining=True))
    assert made.choose(RUN, idle) == Choice("b", 2)
    made.remove("b")
    assert made.choose(RUN, idle) == Choice("a", 1)


def test_a_master_that_no_worker_has_joined_yet_may_be_asked_again():
    with pytest.raises(Unavailable, match="no worker has joined yet"):
        router().choose(RUN, idle)
    with pytest.raises(NotServed):
        router(a=offers(1)).choose(Spec("other", "run"), idle)


def test_a_named_version_is_kept():
    made = router(a=offers(1), b=offers(2))
    assert made.choose(Spec("add", "run", 1), idle) == Choice("a", 1)


def test_the_less_busy_of_two_gets_the_request():
    made = router(a=offers(1), b=offers(1))
    assert {made.choose(RUN, {"a": 3, "b": 2}.__getitem__).worker for _ in range(20)} == {"b"}


def test_equally_busy_workers_share():
    made = router(a=offers(1), b=offers(1))
    assert {made.choose(RUN, idle).worker for _ in range(50)} == {"a", "b"}


@given(st.lists(st.integers(0, 5), min_size=3, max_size=8), st.integers())
def test_the_busiest_of_many_is_never_chosen(loads, seed):
    load = dict(enumerate(loads)) | {99: 6}
    made = Router(random.Random(seed))
    for worker in load:
        made.update(str(worker), offers(1))
    assert made.choose(RUN, lambda worker: load[int(worker)]).worker != "99"


def test_a_choice_that_refused_is_not_made_again():
    made = router(a=offers(1), b=offers(1))
    assert made.choose(RUN, idle, {Choice("a", 1)}).worker == "b"
    with pytest.raises(Unavailable):
        made.choose(RUN, idle, {Choice("a", 1), Choice("b", 1)})


def test_a_worker_that_let_go_of_one_version_still_serves_the_next():
    made = router(a=offers(1))
    refused = {made.choose(RUN, idle)}
    made.update("a", offers(2))
    assert made.choose(RUN, idle, refused) == Choice("a", 2)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            Spec("sub", "run"),
            "Request servable(sub) method(run) , servable is not available",
        ),
        (
            Spec("add", "run", 9),
            "Request servable(add) method(run) version(9) , servable is not available",
        ),
        (
            Spec("add", "walk", 1),
            "Request servable(add) method(walk) , method is not available",
        ),
    ],
)
def test_what_was_never_offered_is_not_served(spec, message):
    with pytest.raises(NotServed) as failure:
        router(a=offers(1)).choose(spec, idle)
    assert failure.value.message == message


@pytest.mark.parametrize("version", [0, 1])
def test_what_was_offered_before_is_unavailable(version):
    made = router(a=offers(1))
    made.update("a", offers(1, draining=True))
    with pytest.raises(Unavailable, match=r"servable\(add\) method\(run\) version\(1\)"):
        made.choose(Spec("add", "run", version), idle)
    made.remove("a")
    assert made.servables() == {"add": False}
    with pytest.raises(NotServed, match="method is not available"):
        made.choose(Spec("add", "walk", version), idle)


def test_new_offers_replace_earlier_ones():
    made = router(a=offers(1))
    made.update("a", offers(2))
    assert made.choose(RUN, idle) == Choice("a", 2)
    with pytest.raises(Unavailable):
        made.choose(Spec("add", "run", 1), idle)


def test_what_is_served_now_is_told_by_version():
    made = router(a=offers(1, 2), b=offers(2, methods=("run", "other")))
    run, both = {"run": OfferedMethod()}, dict.fromkeys(("run", "other"), OfferedMethod())
    assert made.served("add") == {1: run, 2: both}
    assert made.served("add", 1) == {1: run}
    with pytest.raises(NotServed, match="'add' version 3 is not available"):
        made.served("add", 3)
    with pytest.raises(NotServed, match="'none' is not available"):
        made.served("none")
    made.remove("a")
    assert made.served("add") == {2: both}
    with pytest.raises(Unavailable, match="'add' version 1: no worker serves it now"):
        made.served("add", 1)
    made.remove("b")
    with pytest.raises(Unavailable, match="'add': no worker serves it now"):
        made.served("add")
