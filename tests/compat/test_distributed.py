"""Distributed servables as scripts since 1.3 start them: a server, agents, a client."""

import asyncio
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from shared.ports import free_port
from tests.support.scripts import ROOT, RunningScript, alive_after, run_script, wait_until
from tests.support.texts import add_language_model, asked, plainly, texts_at
from tests.support.three_scripts import DOUBLED, Scripts

SECONDS = 60


@pytest.fixture
def two(tmp_path):
    return Scripts(tmp_path, ranks=2)


def answered(scripts, script, expected=DOUBLED):
    """Whether clients are told so, some time."""
    wait_until(lambda: expected in scripts.infer(), seconds=SECONDS, every=0, what=script.logs)
    return True


def of_service(script, service, *arguments):
    """The children of a script that run a service."""
    return [
        each
        for each in psutil.Process(script.process.pid).children()
        if f"services.{service}" in each.cmdline() and {*arguments} <= {*each.cmdline()}
    ]


def listened_at(process):
    """The addresses where a process takes connections."""
    return {each.laddr.ip for each in process.net_connections("tcp") if each.status == "LISTEN"}


def failed(script, words):
    """Wait for a script that must end with an error that says ``words``, and leaves nothing."""
    said = script.until(words)
    below = script.children()
    assert script.process.wait(SECONDS) == 1
    assert not alive_after(below)
    return said


@contextmanager
def lone_agents(scripts, ranks):
    """Agents without a script, all of which look for their worker: nothing of them ends it."""
    agents = []
    try:
        agents.extend(_lone_agent(scripts, rank) for rank in ranks)
        for each in agents:
            assert each.stdout is not None
            assert any("not joined" in line for line in each.stdout)
        yield
    finally:
        for each in agents:
            each.terminate()
        for each in agents:
            each.communicate(timeout=SECONDS)


def _lone_agent(scripts, rank):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "services.agent", "--worker", f"127.0.0.1:{scripts.port}"),
            *("--rank", str(rank), "--model-files", scripts.folder / f"rank{rank}.json"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_server_and_agents_are_scripts_that_end_without_a_trace(two):
    # As the rank table has no addresses but of the loopback, nothing listens beyond it.
    with two.server(host="0.0.0.0") as server:
        assert "matmul: no agent yet for rank 0, 1" in server.until("waiting for the ranks")
        with two.agents() as agents:
            said = agents.until("Success to start agents")
            port = two.agent_port
            assert f"worker_address: 127.0.0.1:{two.port}, agent_ip: 127.0.0.1, " in said
            assert f"agent_start_port: {port}, device ids: [0, 1], rank ids: [0, 1], " in said
            agents.until("agents started")
            server.until("server started")
            assert two.infer() == DOUBLED
            (worker,) = of_service(server, "worker")
            assert listened_at(worker) == {"127.0.0.1"}
            ports = [
                {
                    each.laddr.port
                    for each in agent.net_connections("tcp")
                    if each.status == "LISTEN"
                }
                for rank in ("0", "1")
                for agent in of_service(agents, "agent", "--rank", rank)
            ]
            assert ports == [{port}, {port + 1}]
        # The agents have ended with their script.
        assert answered(two, server, "no worker serves it now")
        with two.agents() as agents:
            agents.until("agents started")
            assert answered(two, server)


def test_agents_may_be_started_first(two):
    with two.agents() as agents, two.server() as server:
        server.until("server started")
        agents.until("agents started")
        assert two.infer() == DOUBLED


def test_an_agent_that_is_killed_is_started_again_and_the_gang_serves_again(two):
    with two.server() as server, two.agents() as agents:
        server.until("server started")
        agents.until("agents started")
        (victim,) = of_service(agents, "agent", "--rank", "1")
        victim.kill()
        assert "matmul_rank1_device1" in agents.until("ended (SIGKILL) and was started again")
        assert answered(two, agents)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_agents_end_with_their_script_however_it_ends(two, number):
    with two.server() as server, two.agents() as agents:
        server.until("server started")
        agents.until("agents started")
        below = agents.children()
        assert len(below) == 4  # two agents and their device processes
        agents.process.send_signal(number)
        assert agents.process.wait(SECONDS) == -number
        assert not alive_after(below)


def test_stages_follow_one_another(tmp_path):
    four = Scripts(tmp_path, ranks=4, stages=2)
    with four.server() as server, four.agents():
        server.until("server started")
        assert four.infer() == DOUBLED.replace("2.", "4.")


def test_a_rank_may_have_several_subgraphs(two):
    for rank in range(2):
        two.write_model(rank, "identity", name=f"other{rank}.json")
    files = [["rank0.json", "other0.json"], ("rank1.json", "other1.json")]
    with two.server() as server, two.agents(files=files):
        server.until("server started")
        assert two.infer() == DOUBLED
        assert two.infer("second") == DOUBLED.replace("2.", "1.")


def test_scripts_serve_a_language_model_that_is_cut_into_ranks(two):
    files = add_language_model(two.folder, "matmul", rank_size=2)
    with two.server() as server, two.agents(files=[files, files]) as agents:
        server.until("server started")
        agents.until("agents started")
        made = asyncio.run(continued(two.grpc, asked([1, 2, 3], model="matmul", new=6)))
    assert made.ids == plainly([1, 2, 3], 6)


async def continued(address, request):
    async with texts_at(address) as texts:
        return await texts.only(request)


def test_every_machine_has_a_script_for_its_ranks(two):
    two.write_table(("10.255.255.1", [0]), ("10.255.255.2", [0]))
    with (
        two.server() as server,
        two.agents('agent_ip="127.0.0.1", rank_start=1', ["rank1.json"]) as first,
    ):
        assert "no agent yet for rank 0" in first.until("waiting for the ranks")
        two.agent_port = free_port()
        others = two.agents(
            'agent_ip="127.0.0.2", rank_start=0', ["rank0.json"], name="other_agent.py"
        )
        with others:
            assert "agent_ip: 127.0.0.2, " in others.until("Success to start agents")
            first.until("agents started")
            server.until("server started")
            assert two.infer() == DOUBLED


def test_what_is_missing_is_said_until_somebody_ends_it(tmp_path):
    eight = Scripts(tmp_path, ranks=8)
    eight.write_table(("127.0.0.1", range(7)), ("10.255.255.2", [0]))
    with eight.server() as server:
        with eight.agents(files=[f"rank{rank}.json" for rank in range(7)]) as agents:
            agents.until("waiting for the ranks of servable matmul: no agent yet for rank 7")
            server.until("waiting for the ranks of servable matmul: no agent yet for rank 7")
            agents.process.send_signal(signal.SIGINT)
            agents.until("Failed to start agents, distributed worker_address: ")
            failed(agents, "RuntimeError: Fail to start agents because of Ctrl+C")
        below = server.children()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(SECONDS) == -signal.SIGINT
        assert not alive_after(below)


def test_seven_of_eight_ranks_are_waited_for_no_longer_than_told(tmp_path):
    eight = Scripts(tmp_path, ranks=8)
    words = (
        "RuntimeError: Fail to start workers: Failed to wait for ready of all agents,"
        " current agents count: 7, rank size: 8: no agent yet for rank 7"
    )
    with lone_agents(eight, range(7)), eight.server("wait_agents_time_in_seconds=10") as server:
        failed(server, words)


def test_agents_that_are_told_to_end_while_they_look_for_their_worker_do_so_at_once(two):
    with two.agents() as agents:
        wait_until(
            lambda: b"grpc" in _mapped(agents.process.pid),
            seconds=SECONDS,
            every=0,
            what="it to have gRPC",
        )
        agents.process.send_signal(signal.SIGTERM)
        failed(agents, "RuntimeError: Fail to start agents because of Ctrl+C")


def _mapped(pid):
    """What a process has loaded: it asks for its worker once it has the library for that."""
    return Path(f"/proc/{pid}/maps").read_bytes()


REASON = r"model file 'rank1\.json' is no toy: KeyError\('nonsense'\)"


def test_agents_that_cannot_load_their_model_end_with_the_reason(two):
    two.write_model(1, "nonsense")
    with two.server(), two.agents() as agents:
        said = failed(agents, "RuntimeError: Fail to start agents because of death of one agent")
        assert re.search(
            rf", rank 1: .*{REASON} \(more in .*log_matmul_rank1_device1\.log\)$", said
        )


def test_a_servable_whose_ranks_cannot_load_their_model_ends_with_the_reason(two):
    two.write_model(1, "nonsense")
    with lone_agents(two, range(2)), two.server() as server:
        said = failed(server, "RuntimeError: Fail to start workers: ")
    assert re.search(rf"rank 1: .*{REASON}", said)


def test_a_key_reaches_the_agents_and_is_seen_nowhere(two):
    with two.server() as server, two.agents('dec_key=b"0123456789ABCDEF"') as agents:
        below = [" ".join(each.cmdline()) for each in agents.children()]
        said = failed(agents, "RuntimeError: Fail to start agents because of death of one agent")
        assert "encrypted" in said
        server.process.terminate()
        assert "0123456789ABCDEF" not in "\n".join([*below, *agents.said, agents.logs()])


def test_a_model_of_other_ranks_than_the_rank_table_is_refused_at_once(two):
    two.write_table(("127.0.0.1", range(3)))
    with two.server() as server:
        said = failed(server, "RuntimeError: Fail to start workers: ")
    assert (
        "Rank size 3 declared in rank table file 'rank_table.json' not equal to 2 declared" in said
    )


MASTER_1_2 = """
    from mindspore_serving import master

    if __name__ == "__main__":
        master.start_grpc_server("127.0.0.1", {grpc})
        master.start_master_server("127.0.0.1", {master})
        print("master started", flush=True)
"""
WORKER_1_2 = """
    from mindspore_serving.worker import distributed

    if __name__ == "__main__":
        distributed.start_distributed_servable(
            ".", "matmul", "rank_table.json", worker_ip="127.0.0.1", worker_port={worker},
            master_ip="127.0.0.1", master_port={master}, wait_agents_time_in_seconds=60)
        print("worker started", flush=True)
"""


def test_the_worker_of_1_2_joins_the_master_of_another_script(two):
    ports = {"grpc": free_port(), "master": free_port(), "worker": two.port}
    two.grpc = f"127.0.0.1:{ports['grpc']}"
    with (
        RunningScript(two.folder, MASTER_1_2.format(**ports), name="master.py") as master,
        RunningScript(two.folder, WORKER_1_2.format(**ports), name="worker.py") as worker,
        two.agents(),
    ):
        master.until("master started")
        worker.until("worker started")
        assert answered(two, worker)


def test_what_cannot_be_ends_a_script_before_anything_is_started(two):
    ended = run_script(
        two.folder,
        f"""
        from mindspore_serving import server

        for call in (
            lambda: server.start_servable(".", "matmul", "none.json"),
            lambda: server.startup_agents("127.0.0.1:{two.port}", ["none.json"]),
        ):
            try:
                call()
            except RuntimeError as failure:
                print(failure)
        """,
    )
    assert ended.stdout.splitlines() == [
        f"failed to get realpath of\uff1a{two.folder}/none.json",
        f"Cannot access model file '{two.folder}/none.json'",
    ]
    assert not (two.folder / "serving_logs").exists()
