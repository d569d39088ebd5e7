"""Clients in several processes at once, and scripts that fork beside their servers."""

import pytest

from shared.ports import free_port
from tests.support import adding
from tests.support.scripts import RunningScript, alive_after, run_script, write_servable

CLIENTS = """
    import multiprocessing
    import sys
    import numpy as np
    from mindspore_serving.client import Client

    kept = []

    def call(number):
        # One for each call and process, as scripts have them: none of them closes it.
        client = Client(sys.argv[1], "add", "add_common")
        kept.append(client)
        x = np.full((2, 2), number, np.float32)
        answers = [client.infer([{"x1": x, "x2": x * n} for n in range(5)]) for _ in range(10)]
        later = [client.infer_async({"x1": x, "x2": x}) for _ in range(10)]
        for answer in answers:
            assert isinstance(answer, list), answer
            assert [each["y"].tolist() for each in answer] == [
                [[number * (n + 1)] * 2] * 2 for n in range(5)
            ], answer
        for each in later:
            answer = each.result()
            assert isinstance(answer, list), answer
            assert answer[0]["y"].tolist() == [[number * 2] * 2] * 2
        return number

    if __name__ == "__main__":
        method, before = sys.argv[2:]
        if before == "after the parent has called":
            call(0)
        with multiprocessing.get_context(method).Pool(4) as pool:
            print(sorted(pool.map(call, range(1, 9))))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Where the script of a server answers every test that asks nothing else of it."""
    folder = tmp_path_factory.mktemp("server")
    write_servable(folder / "my servables", adding.CONFIG)
    address = f"127.0.0.1:{free_port()}"
    with adding.started(folder, address, devices="(0, 1)") as script:
        script.until("started")
        yield address


# Not forks after calls: gRPC's core skips what it does for them while a thread of its own is at
# work, which nobody outside it can wait for.
@pytest.mark.parametrize(
    ("method", "before"),
    [
        ("fork", "at first"),
        ("spawn", "at first"),
        ("spawn", "after the parent has called"),
        ("forkserver", "at first"),
        ("forkserver", "after the parent has called"),
    ],
)
def test_clients_in_several_processes_call_at_once(server, tmp_path, method, before):
    ended = run_script(tmp_path, CLIENTS, server, method, before, name="clients.py")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [str(list(range(1, 9)))], ended.stderr


FORKS = """
    import multiprocessing
    import sys
    import time
    import numpy as np
    from mindspore_serving import server
    from mindspore_serving.client import Client

    def call(number):
        x = np.full((2, 2), number, np.float32)
        return Client("127.0.0.1:PORT", "add", "add_common").infer({"x1": x, "x2": x})

    server.start_servables(server.ServableStartConfig("my servables", "add", device_ids=0))
    server.start_grpc_server("127.0.0.1:PORT")
    pool = multiprocessing.get_context("fork").Pool(2)
    multiprocessing.get_context("fork").Process(target=time.sleep, args=[120], daemon=True).start()
    print([each[0]["y"].tolist() for each in pool.map(call, (1, 2))])
    sys.stdin.readline()
    began = time.monotonic()
    # A stop in a process that was forked is none of the servers' business.
    pool.apply(server.stop)
    print(call(1)[0]["y"].tolist())
    server.stop()
    print("stopped" if time.monotonic() - began < 20 else "killed")
    sys.stdin.readline()
    pool.terminate()
"""


def test_processes_that_a_server_script_forks_do_not_keep_its_services(folder):
    with RunningScript(folder, FORKS) as script:
        script.until("[[[2.0, 2.0], [2.0, 2.0]], [[4.0, 4.0], [4.0, 4.0]]]")
        assert len(services_of(script)) == 4  # master, worker, agent and its device process
        script.go_on()
        script.until("[[2.0, 2.0], [2.0, 2.0]]")
        script.until("stopped")
        assert services_of(script) == []
        script.go_on()
        assert script.process.wait(30) == 0


def test_services_end_with_a_script_that_is_killed_though_what_it_forked_lives_on(folder):
    with RunningScript(folder, FORKS) as script:
        script.until("[[[2.0, 2.0], [2.0, 2.0]], [[4.0, 4.0], [4.0, 4.0]]]")
        services = services_of(script)
        forked = [each for each in script.children() if each not in services]
        script.process.kill()
        assert not alive_after(services)
        sleeping = [each for each in forked if each.is_running()]
        assert sleeping
        for each in sleeping:
            each.kill()


def services_of(script):
    return [each for each in script.children() if any("services." in a for a in each.cmdline())]
