"""Services of a running script that end, crash or hang: what it says and what clients see."""

import signal

import pytest

from mindspore_serving.client import Client
from shared.ports import free_port
from tests.support.adding import CONFIG, INSTANCE, TWOS, infer, started
from tests.support.scripts import RunningScript, alive_after, wait_until, write_servable


def one_of(script, service):
    """The process of a service; of several agents the first."""
    found = [each for each in script.children() if f"services.{service}" in each.cmdline()]
    return min(found, key=lambda each: each.pid)


def answered_again(script, address):
    wait_until(lambda: infer(address) == TWOS, seconds=60, what=script.logs)


def test_an_agent_that_is_told_to_end_stays_away_and_the_other_serves_on(folder):
    address = f"127.0.0.1:{free_port()}"
    with started(folder, address, devices="(0, 1)") as script:
        script.until("started")
        one_of(script, "agent").terminate()
        said = script.until("is not started again")
        assert said.endswith(
            "add_device0_version1 ended as it was told to, and is not started again"
        )
        assert infer(address) == TWOS
        assert script.process.poll() is None


@pytest.mark.parametrize("service", ["worker", "agent", "master"])
def test_a_script_whose_last_service_of_a_kind_is_told_to_end_stops_serving(folder, service):
    """Nothing will bring it back: better an end that somebody notices than a server without use."""
    address = f"127.0.0.1:{free_port()}"
    with started(folder, address) as script:
        script.until("started")
        below = script.children()
        one_of(script, service).terminate()
        script.until("ended as it was told to, and is not started again")
        script.until("No servable of this script can be called any more: it has stopped")
        assert script.process.wait(60) == 0
        assert not alive_after(below)
        assert "(14, 'unavailable')" in infer(address)["error"]


GOES_ON = """
    import sys
    from mindspore_serving import server

    config = server.ServableStartConfig("my servables", "add", device_ids=0)
    server.start_servables(config)
    print("started")
    sys.stdin.readline()
    server.start_servables(config)
    server.start_grpc_server("127.0.0.1:PORT")
    sys.stdin.readline()
"""


def test_a_script_that_goes_on_may_start_again_what_was_told_to_end(folder):
    with RunningScript(folder, GOES_ON) as script:
        script.until("started")
        below = script.children()
        one_of(script, "agent").terminate()
        script.until("it has stopped serving")
        assert not alive_after(below, seconds=1)
        assert script.process.poll() is None
        script.go_on()
        address = script.until("start success").rpartition(" ")[2]
        assert infer(address) == TWOS


TWO = """
    from mindspore_serving import server

    names = ("add", "other")
    server.start_servables(
        [server.ServableStartConfig("my servables", name, device_ids=0) for name in names]
    )
    server.start_grpc_server("127.0.0.1:PORT")
"""


def test_a_servable_whose_worker_was_told_to_end_leaves_the_others_alone(folder):
    write_servable(folder / "my servables", CONFIG, name="other")
    with RunningScript(folder, TWO) as script:
        address = script.until("start success").rpartition(" ")[2]
        one_of(script, "worker").terminate()
        assert "add_worker_version1 ended as it was told to" in script.until("ended")
        refused = (
            "(14, 'unavailable'), Request servable(add) method(add_common) version(1) , no worker"
        )
        assert refused in infer(address)["error"]
        with Client(address, "other", "add_common") as client:
            assert client.infer(INSTANCE)[0]["y"].tolist() == TWOS


def test_without_its_last_worker_a_script_answers_unavailable_until_it_is_back(folder):
    config = folder / "my servables" / "add" / "servable_config.py"
    begun = folder / "begun"
    at_work = f"open({str(begun)!r}, 'x').close(); time.sleep(60)"
    config.write_text(config.read_text().replace("time.sleep(1)", at_work))
    address = f"127.0.0.1:{free_port()}"
    with started(folder, address) as script:
        script.until("started")
        with Client(address, "add", "add_slowly") as client:
            call = client.infer_async(INSTANCE)
            wait_until(begun.exists, seconds=30, what="the function to begin")
            one_of(script, "worker").kill()
            assert "(14, 'unavailable'), the worker closed the conn" in call.result(30)["error"]
        # It is started again after a second: nobody serves meanwhile.
        refused = infer(address)["error"]
        assert "(14, 'unavailable'), Request servable(add) method(add_common)" in refused
        assert "no worker serves it now" in refused
        script.until("add_worker_version1 ended (SIGKILL) and was started again")
        answered_again(script, address)


@pytest.mark.parametrize("service", ["worker", "agent", "master"])
def test_a_service_that_hangs_is_killed_and_started_again(folder, service):
    address = f"127.0.0.1:{free_port()}"
    patience = {"MINDSERVE_SCRIPT_HANG_SECONDS": "4"}
    with started(folder, address, environment=patience) as script:
        script.until("started")
        victim = one_of(script, service)
        below = victim.children(recursive=True)
        victim.send_signal(signal.SIGSTOP)
        assert "did not answer for 4 s and is killed" in script.until("did not answer")
        script.until("ended (SIGKILL) and was started again")
        answered_again(script, address)
        assert not alive_after(below)


APART = """
    from mindspore_serving import server

    server.start_servables(
        server.ServableStartConfig("my servables", "add", device_ids=0, num_parallel_workers=2)
    )
    server.start_grpc_server("127.0.0.1:PORT")
"""


@pytest.mark.parametrize("service", ["worker", "agent"])
def test_what_a_killed_service_had_started_ends_with_it(folder, service):
    with RunningScript(folder, APART) as script:
        address = script.until("start success").rpartition(" ")[2]
        victim = one_of(script, service)
        below = victim.children(recursive=True)
        assert len(below) == {"worker": 2, "agent": 1}[service]
        victim.kill()
        assert not alive_after(below)
        script.until("ended (SIGKILL) and was started again")
        answered_again(script, address)
        assert len(one_of(script, service).children(recursive=True)) == len(below)


NAMED = """
    from mindspore_serving import master

    master.start_master_server("localhost", PORT)
    master.start_grpc_server("localhost", PORT2)
"""


def test_a_service_at_an_address_with_a_name_is_looked_after_too(tmp_path):
    """Event loops look names up on threads, and a script at its end gets no new ones."""
    patience = {"MINDSERVE_SCRIPT_HANG_SECONDS": "4"}
    with RunningScript(tmp_path, NAMED, environment=patience) as script:
        script.until("gRPC server start success")
        one_of(script, "master").send_signal(signal.SIGSTOP)
        script.until("did not answer for 4 s and is killed")
        script.until("ended (SIGKILL) and was started again")
        assert script.process.poll() is None
