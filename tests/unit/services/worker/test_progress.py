"""When a version that is loaded beside others may take over."""

from hypothesis import given
from hypothesis import strategies as st

from services.worker.agents.progress import Standing, progress_of
from shared.membership import Holding
from shared.repository import VersionState
from shared.servable import ServableVersion

WHAT = ServableVersion("toy", 2)


def agent(state="", *, serves=False, detail=""):
    return Standing(Holding(WHAT, state, detail) if state else None, serves)


def told(*agents, min_agents=1):
    return progress_of(agents, min_agents)


def test_without_agents_it_waits():
    assert told().state is VersionState.LOADING
    assert told(agent()).detail == "0 of 1 agents hold it"


def test_enough_agents_make_the_first_version_ready():
    assert told(agent("ready"), agent("loading")).state is VersionState.READY
    assert told(agent("ready"), agent("loading"), min_agents=2) == (
        VersionState.LOADING,
        "1 of 2 agents hold it",
    )


def test_a_switch_waits_for_every_agent_that_serves_another_version():
    others = agent("ready", serves=True), agent("loading", serves=True, detail="compiling")
    assert told(*others) == (VersionState.LOADING, "1 of 2 agents hold it, compiling")
    assert told(agent("ready", serves=True), agent("ready", serves=True)).state == "ready"
    assert told(agent("ready", serves=True), agent("loading")).state == "ready"


def test_one_agent_that_cannot_load_it_fails_the_switch():
    failed = agent("failed", serves=True, detail="no such file")
    assert told(agent("ready", serves=True), failed) == (VersionState.FAILED, "no such file")


def test_a_first_version_fails_when_too_few_agents_are_left():
    failed = agent("failed", detail="out of memory")
    assert told(failed).state is VersionState.FAILED
    assert told(failed, agent("loading")).state is VersionState.LOADING
    assert told(failed, agent("ready")).state is VersionState.READY
    assert told(failed, agent("ready"), min_agents=2).state is VersionState.FAILED


standings = st.builds(
    agent, st.sampled_from(["", "loading", "ready", "failed"]), serves=st.booleans()
)


@given(st.lists(standings, max_size=6), st.integers(1, 3))
def test_a_switch_never_leaves_fewer_agents_at_work(agents, min_agents):
    progress = progress_of(agents, min_agents)
    if progress.state is VersionState.READY:
        ready = [each for each in agents if each.holding and each.holding.state == "ready"]
        assert len(ready) >= min_agents
        assert all(each in ready for each in agents if each.serves_another)


def test_where_texts_are_continued_one_must_decode():
    prompts = agent("ready")._replace(decodes=False)
    alone = progress_of([prompts], 1, decodes=True)
    assert alone.state is VersionState.LOADING
    assert "none continues texts" in alone.detail
    assert progress_of([prompts], 1).state is VersionState.READY
    assert progress_of([prompts, agent("loading")], 1, decodes=True).state is VersionState.LOADING
    assert progress_of([prompts, agent("ready")], 1, decodes=True).state is VersionState.READY
