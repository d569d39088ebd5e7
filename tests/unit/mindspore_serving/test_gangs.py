"""What scripts ask and say of gangs."""

import pytest

from mindspore_serving.server.agents import _ask
from mindspore_serving.server.calls import NotAnswered
from mindspore_serving.server.gangs import AwaitedGang, News
from shared.ports import free_port
from shared.wire.gangs_codec import AWAIT_PATH, GangProgress, read_await_request, write_progress


def test_news_are_said_soon_and_what_is_none_now_and_then():
    news = News(now=0.0)
    said = []
    for second in range(100):
        text = "none" if second < 50 else "one"
        if news.are_due(text, float(second)):
            said.append((second, text))
    assert said == [(3, "none"), (33, "none"), (50, "one"), (80, "one")]


def test_a_gang_serves_when_its_worker_says_so():
    answers = [
        NotAnswered("not there yet"),
        write_progress(GangProgress(serves=False, text="no agent yet for rank 1")),
        write_progress(GangProgress(serves=True, text="")),
    ]

    def call(path, message, seconds):
        assert path == AWAIT_PATH
        assert 0 < read_await_request(message) < seconds
        answer = answers.pop(0)
        if isinstance(answer, NotAnswered):
            raise answer
        return answer

    gang = AwaitedGang(call, "matmul")
    assert [gang.serves() for _ in range(3)] == [False, False, True]


def test_a_worker_that_is_not_there_is_asked_sixty_times():
    pauses = []
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(RuntimeError) as failure:
        _ask(address, lambda: pauses.append(1))
    assert len(pauses) == 60
    assert str(failure.value).startswith(
        f"Failed to get agents config from worker, address {address}: "
    )
    assert "Connection refused" in str(failure.value)
