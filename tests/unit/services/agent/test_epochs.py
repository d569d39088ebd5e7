"""Which parts of gangs an agent takes on, and which batches a part runs."""

from hypothesis import given
from hypothesis import strategies as st

from services.agent.device.epochs import batch_refusal, change
from shared.membership import Assigned, Assignment, GangPart
from shared.servable import ServableVersion

WHAT = ServableVersion("toy", 1)
OTHER = ServableVersion("other", 1)


def part(epoch, rank=1):
    return Assigned(WHAT, (), GangPart(epoch, rank, 2, rank, 2))


def wants(*assigned):
    return Assignment(assigned)


def test_a_later_epoch_takes_the_place_of_an_earlier_one():
    todo = change([part(3)], wants(part(4)), 3, 1)
    assert (todo.end, todo.begin, todo.refused) == ((part(3),), (part(4),), ())
    assert todo.latest_epoch == 4


def test_what_is_held_goes_on():
    todo = change([part(3)], wants(part(3)), 3, 1)
    assert (todo.end, todo.begin, todo.refused, todo.latest_epoch) == ((), (), (), 3)


def test_an_earlier_epoch_is_refused_and_the_later_one_goes_on():
    todo = change([part(5)], wants(part(4)), 5, 1)
    assert (todo.end, todo.begin, todo.latest_epoch) == ((), (), 5)
    (refused,) = todo.refused
    assert (refused.what, refused.state, refused.epoch) == (WHAT, "failed", 4)
    assert refused.detail == "epoch 4 is over, rank 1 was at epoch 5"


def test_another_rank_is_refused():
    (refused,) = change([], wants(part(1, rank=0)), 0, 1).refused
    assert refused.detail == "this agent runs rank 1, and was assigned rank 0"
    (refused,) = change([], wants(part(1, rank=0)), 0, None).refused
    assert refused.detail == "this agent was started without a rank, and was assigned rank 0"


def test_servables_that_need_no_gang_know_no_epochs():
    alone = Assigned(OTHER, ())
    todo = change([alone, part(2)], wants(alone), 2, 1)
    assert (todo.end, todo.begin) == ((part(2),), ())
    assert change([], wants(alone, part(3)), 2, 1).begin == (alone, part(3))


@given(st.lists(st.one_of(st.none(), st.integers(1, 6)), max_size=30))
def test_whatever_is_assigned_epochs_only_grow_and_none_begins_twice(epochs):
    held, latest, begun = [], 0, []
    for epoch in epochs:
        todo = change(held, wants(*([part(epoch)] if epoch else [])), latest, 1)
        assert todo.latest_epoch >= latest
        latest = todo.latest_epoch
        held = [each for each in held if each not in todo.end] + list(todo.begin)
        begun += [each.gang.epoch for each in todo.begin]
        assert len(held) <= 1
        # Told of an epoch, the agent holds it or says why not.
        if epoch:
            assert part(epoch) in held or [each.epoch for each in todo.refused] == [epoch]
        else:
            assert not held
    assert begun == sorted(set(begun))


def test_a_batch_of_another_epoch_is_refused_with_both_epochs():
    gang = part(4).gang
    assert not batch_refusal(4, gang)
    assert batch_refusal(3, gang) == "epoch 3 is over, rank 1 is at epoch 4"
    assert batch_refusal(5, gang) == "epoch 5 has not begun, rank 1 is at epoch 4"
    assert batch_refusal(0, gang) == ("a batch without an epoch, but this is rank 1 at epoch 4")


def test_an_agent_on_its_own_runs_no_batches_of_gangs():
    assert not batch_refusal(0, None)
    assert batch_refusal(2, None) == "a batch of epoch 2, but this agent serves it on its own"
