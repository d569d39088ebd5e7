"""What scripts ask and say of gangs."""

import signal
import subprocess
import sys

import pytest

from mindspore_serving.server.agents import _ask
from mindspore_serving.server.calls import NotAnswered
from mindspore_serving.server.gangs import AwaitedGang, News, describe
from shared.ports import free_port
from shared.servable import ServableVersion
from shared.wire.gangs_codec import (
    AWAIT_PATH,
    GangDescription,
    GangProgress,
    read_await_request,
    write_description,
    write_progress,
)


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


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\xff", "not a message about gangs"),
        (
            write_description(GangDescription(ServableVersion("matmul", 1), 1, ())),
            "it was started without a rank table",
        ),
    ],
)
def test_an_answer_that_names_no_rank_is_none(answer, words):
    with pytest.raises(NotAnswered, match=words):
        describe(lambda *_: answer, 1.0)


LATE = """
import signal
from mindspore_serving.server.script import this_script

this_script.begin("agents", "")
with this_script.noting_signals() as noted:
    signal.raise_signal(signal.SIGINT)
    print(noted.is_set(), flush=True)
print("goes on")
"""


def test_a_signal_that_nobody_looked_for_does_what_it_would_have_done(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", LATE], capture_output=True, cwd=tmp_path, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGINT, b"True\n")
