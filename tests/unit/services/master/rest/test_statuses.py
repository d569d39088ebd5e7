"""One status for each error."""

import pytest

from services.master.rest import statuses
from services.master.rest.statuses import STATUSES, status_of, status_of_all, told
from shared import errors


def test_every_error_has_a_status():
    named = set(errors.BY_NAME.values())
    mine = {each for each in vars(statuses).values() if isinstance(each, type)}
    mine = {each for each in mine if issubclass(each, errors.ServingError)}
    assert STATUSES.keys() == named | mine


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (errors.InvalidRequest, 400),
        (errors.NotServed, 404),
        (errors.Overloaded, 429),
        (errors.Draining, 503),
        (errors.Unavailable, 503),
        (errors.DeadlineExceeded, 504),
        (errors.WorkerLost, 502),
        (errors.AgentLost, 502),
        (errors.DeviceHung, 502),
        (errors.StageFailed, 500),
        (errors.InternalError, 500),
    ],
)
def test_statuses(failure, status):
    assert status_of(failure("why")) == status


def test_a_reply_succeeded_as_soon_as_one_instance_did():
    bad, broke = errors.InvalidRequest("bad"), errors.ExecutionFailed("broke")
    assert status_of_all([]) == 200
    assert status_of_all([bad, None]) == 200
    assert status_of_all([bad, bad]) == 400
    assert status_of_all([bad, broke]) == 500


def test_the_text_of_an_unforeseen_exception_is_not_told():
    failure = told(ValueError("/somewhere/inside"))
    assert type(failure) is errors.InternalError
    assert "/somewhere" not in failure.message
