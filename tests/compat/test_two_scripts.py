"""Versions 1.1 and 1.2: a master and workers in scripts of their own, at given addresses."""

import json
import shutil
import urllib.request

import numpy as np
import pytest

from shared.ports import free_port
from tests.support.scripts import RunningScript, run_script, wait_until, write_servable

CONFIG = """
    import numpy as np
    from mindspore_serving.worker import register


    def cast(x1, x2):
        return x1.astype(np.float32), x2.astype(np.float32)


    register.declare_servable(
        servable_file="add.json", model_format="Reference", with_batch_dim=False)


    @register.register_method(output_names=["y"])
    def add_common(x1, x2):
        y = register.call_servable(x1, x2)
        return y


    @register.register_method(output_names=["y"])
    def add_cast(x1, x2):
        x1, x2 = register.call_preprocess(cast, x1, x2)
        y = register.call_servable(x1, x2)
        return y
"""
MASTER = """
    from mindspore_serving import master

    def start():
        master.start_grpc_server("127.0.0.1", GRPC)
        master.start_restful_server("127.0.0.1", REST)
        master.start_master_server("127.0.0.1", MASTER)
        print("master started", flush=True)

    if __name__ == "__main__":
        start()
"""
WORKER = """
    import os
    from mindspore_serving import worker

    def start():
        servable_dir = os.path.abspath(".")
        worker.start_servable(servable_dir, "add", device_id=0,
                              master_ip="127.0.0.1", master_port=MASTER,
                              worker_ip="127.0.0.1", worker_port=WORKER)
        print("worker started", flush=True)

    if __name__ == "__main__":
        start()
"""
CLIENT = """
    import numpy as np
    from mindspore_serving.client import Client

    def run_add_cast():
        client = Client("localhost", GRPC, "add", "add_cast")
        instances = []
        x1 = np.ones((2, 2), np.int32)
        x2 = np.ones((2, 2), np.int32)
        instances.append({"x1": x1, "x2": x2})
        result = client.infer(instances)
        print(result)

    if __name__ == "__main__":
        run_add_cast()
"""


class Scripts:
    """The three scripts, which agree on ports."""

    def __init__(self, folder, config=CONFIG):
        self.folder = folder
        self.ports = {name: free_port() for name in ("GRPC", "REST", "MASTER", "WORKER")}
        write_servable(folder, config)

    def text(self, script):
        for name, port in self.ports.items():
            # Words in capitals that stand alone are ports.
            for before, after in ((", ", ")"), (", ", ","), ("=", ","), ("=", ")")):
                script = script.replace(f"{before}{name}{after}", f"{before}{port}{after}")
        return script

    def run(self, script, name):
        return RunningScript(self.folder, self.text(script), name=f"{name}.py")

    def infer(self):
        ended = run_script(self.folder, self.text(CLIENT), name="client.py")
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def answered(self):
        wait_until(lambda: "array([[2., 2.]" in self.infer(), seconds=60, every=0, what="twos")
        return True

    def rest(self):
        url = f"http://127.0.0.1:{self.ports['REST']}/model/add:add_common"
        ones = np.ones((2, 2)).tolist()
        asked = json.dumps({"instances": [{"x1": ones, "x2": ones}]}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, asked), timeout=20) as answer:
            return json.loads(answer.read())


@pytest.fixture
def scripts(tmp_path):
    return Scripts(tmp_path)


def test_master_worker_and_client_are_scripts_of_their_own(scripts):
    with scripts.run(MASTER, "master") as master:
        master.until("master started")
        with scripts.run(WORKER, "worker") as worker:
            worker.until("worker started")
            assert scripts.answered()
            assert scripts.rest() == {"instances": [{"y": [[2.0, 2.0], [2.0, 2.0]]}]}
        deprecated = [line.split("'")[1] for line in master.said if "is deprecated" in line]
        assert deprecated == [
            "mindspore_serving.master.start_grpc_server",
            "mindspore_serving.master.start_restful_server",
            "mindspore_serving.master.start_master_server",
        ]
        # Its worker is gone, and comes back.
        assert "no worker serves it now" in scripts.infer()
        with scripts.run(WORKER, "worker") as worker:
            worker.until("worker started")
            assert scripts.answered()


@pytest.mark.mindspore
@pytest.mark.timeout(300)
def test_they_run_with_a_model_of_mindspore_and_no_word_of_ours(tmp_path, mindir):
    config = CONFIG.replace("add.json", "add.mindir").replace("Reference", "MindIR")
    scripts = Scripts(tmp_path, config)
    shutil.copy(mindir / "add.mindir", tmp_path / "add" / "1")
    with scripts.run(MASTER, "master") as master, scripts.run(WORKER, "worker") as worker:
        master.until("master started")
        worker.until("worker started")
        assert scripts.answered()
        assert scripts.rest() == {"instances": [{"y": [[2.0, 2.0], [2.0, 2.0]]}]}


def test_the_worker_may_be_started_first_and_doors_opened_last(scripts):
    lines = MASTER.splitlines()
    at = next(number for number, line in enumerate(lines) if "start_master_server" in line)
    early = [*lines[:4], lines[at], *lines[4:at], *lines[at + 1 :]]
    with scripts.run(WORKER, "worker") as worker:
        worker.until("worker started")
        with scripts.run("\n".join(early), "master") as master:
            master.until("master started")
            assert scripts.answered()
            assert scripts.rest()["instances"][0]["y"] == [[2, 2], [2, 2]]


def test_two_workers_of_one_servable_share_the_work(scripts):
    with scripts.run(MASTER, "master") as master:
        master.until("master started")
        with scripts.run(WORKER, "worker") as worker:
            worker.until("worker started")
            other = scripts.text(WORKER).replace(
                f"worker_port={scripts.ports['WORKER']}", f"worker_port={free_port()}"
            )
            with RunningScript(scripts.folder, other, name="other.py") as second:
                second.until("worker started")
                assert scripts.answered()
        # Both have left, one after the other, and the master says so.
        assert "no worker serves it now" in scripts.infer()


def test_workers_may_not_join_a_script_whose_servables_run(scripts):
    ended = run_script(
        scripts.folder,
        scripts.text("""
            from mindspore_serving import master, worker
            worker.start_servable_in_master(".", "add")
            try:
                master.start_master_server("127.0.0.1", MASTER)
            except RuntimeError as failure:
                print(failure)
        """),
    )
    said = ended.stdout.splitlines()
    assert said == ["start_master_server comes before the servables of its script"]


def test_the_context_of_1_1_names_the_device_of_what_is_started_later(scripts):
    ended = run_script(
        scripts.folder,
        """
        from mindspore_serving import worker
        from mindspore_serving.worker import context

        context.set_context(device_type="CPU", device_id=3)
        try:
            context.set_context(rank=1)
        except RuntimeError as failure:
            print(failure)
        worker.start_servable_in_master(".", "add")
        worker.stop()
        """,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["Not support context key 'rank'"]
    assert (scripts.folder / "serving_logs" / "log_add_device3_version1.log").exists()
