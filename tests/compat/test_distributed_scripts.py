"""Scripts as the documents on distributed servables print them, on real MindSpore.

Of versions 1.2 (module ``worker.distributed``) and since 1.3; ports alone are others.
"""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mindspore_serving.client import Client
from shared.ports import free_port
from tests.support.pipeline_document import CLIENT, METHODS
from tests.support.scripts import ROOT, RunningScript, run_script
from tests.support.three_scripts import ports_in_a_row, rank_table

EXPORTER = ROOT / "examples" / "matmul_distributed" / "export_model" / "export_model.py"
pytestmark = [pytest.mark.mindspore, pytest.mark.timeout(600)]

CONFIG_1_2 = """
from mindspore_serving.worker import distributed
from mindspore_serving.worker import register

distributed.declare_distributed_servable(rank_size=8, stage_size=1, with_batch_dim=False)


@register.register_method(output_names=["y"])
def predict(x):
    y = register.call_servable(x)
    return y
"""
MASTER_WITH_WORKER_1_2 = """
import os
import sys
from mindspore_serving import master
from mindspore_serving.worker import distributed


def start():
    servable_dir = os.path.dirname(os.path.realpath(sys.argv[0]))
    distributed.start_distributed_servable_in_master(servable_dir, "matmul",
                                                     rank_table_json_file="rank_table_8pcs.json",
                                                     version_number=1,
                                                     worker_ip="127.0.0.1", worker_port=6200,
                                                     wait_agents_time_in_seconds=0)
    master.start_grpc_server("127.0.0.1", 5500)
    master.start_restful_server("127.0.0.1", 1500)


if __name__ == "__main__":
    start()
"""
AGENT_1_2 = '''
from mindspore_serving.worker import distributed


def start_agents():
    """Start all the worker agents in current machine"""
    model_files = []
    group_configs = []
    for i in range(8):
        model_files.append(f"model/device{i}/matmul.mindir")
        group_configs.append(f"model/device{i}/group_config.pb")

    distributed.startup_worker_agents(worker_ip="127.0.0.1", worker_port=6200,
                                      model_files=model_files,
                                      group_config_files=group_configs, agent_start_port=7000,
                                      agent_ip=None, rank_start=None)


if __name__ == '__main__':
    start_agents()
'''
CLIENT_1_2 = '''
import numpy as np
from mindspore_serving.client import Client


def run_matmul():
    """Run client of distributed matmul"""
    client = Client("localhost", 5500, "matmul", "predict")
    instance = {"x": np.ones((128, 96), np.float32)}
    result = client.infer(instance)
    print("result:\\n", result)


if __name__ == '__main__':
    run_matmul()
'''
# What the document says that the client prints, as NumPy lays it out today.
PRINTED = """\
result:
 [{'y': array([[-48., -48., -48., ..., -48., -48., -48.],
       [-48., -48., -48., ..., -48., -48., -48.],
       [-48., -48., -48., ..., -48., -48., -48.],
       ...,
       [-48., -48., -48., ..., -48., -48., -48.],
       [-48., -48., -48., ..., -48., -48., -48.],
       [-48., -48., -48., ..., -48., -48., -48.]], dtype=float32)}]
"""

CONFIG = """
from mindspore_serving.server import distributed
from mindspore_serving.server import register

model = distributed.declare_servable(
    rank_size={ranks}, stage_size={stages}, with_batch_dim=False, enable_pipeline_infer={pipeline})


@register.register_method(output_names=["y"])
def predict(x):
    y = register.add_stage(model, x, outputs_count=1)
    return y
"""
SERVER = """
import os
import sys

from mindspore_serving import server
from mindspore_serving.server import distributed


def start():
    servable_dir = os.path.dirname(os.path.realpath(sys.argv[0]))
    distributed.start_servable(servable_dir, "matmul",
                               rank_table_json_file="rank_table.json",
                               version_number=1,
                               distributed_address="127.0.0.1:6200")

    server.start_grpc_server("127.0.0.1:5500")
    server.start_restful_server("127.0.0.1:1500")


if __name__ == "__main__":
    start()
"""
AGENT = """
from mindspore_serving.server import distributed


def start_agents():
    model_files = []
    for i in range({ranks}):
        model_files.append(f"model/device{{i}}/matmul.mindir")

    distributed.startup_agents(distributed_address="127.0.0.1:6200", model_files=model_files,
                               agent_start_port=7000)


if __name__ == '__main__':
    start_agents()
"""


CONFIG_1_3 = """
import numpy as np
from mindspore_serving.server import distributed
from mindspore_serving.server import register
from mindspore_serving.server.register import PipelineServable

distributed.declare_servable(rank_size=8, stage_size=1, with_batch_dim=False)
"""
AGENT_1_3 = '''
from mindspore_serving.server import distributed


def start_agents():
    """Start all the agents in current machine"""
    model_files = []
    group_configs = []
    for i in range(8):
        model_files.append([f"model/device{i}/matmul_0.mindir", f"model/device{i}/matmul_1.mindir"])
        group_configs.append([f"model/device{i}/group_config.pb"])

    distributed.startup_agents(distributed_address="127.0.0.1:6200", model_files=model_files,
                               group_config_files=group_configs)


if __name__ == '__main__':
    start_agents()
'''


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """Exports the models of so many ranks and stages, each once."""
    done = {}

    def export(ranks, stages):
        if (ranks, stages) not in done:
            folder = tmp_path_factory.mktemp("exported")
            command = [sys.executable, EXPORTER, "--directory", folder]
            command += ["--ranks", str(ranks), "--stages", str(stages)]
            subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
            done[ranks, stages] = folder / "model"
        return done[ranks, stages]

    return export


@pytest.fixture
def exported(tmp_path, export):
    """A folder with the models of so many ranks."""

    def exported(ranks, stages=1):
        shutil.copytree(export(ranks, stages), tmp_path / "model")
        ports = {port: str(free_port()) for port in ("5500", "1500", "6200")}
        return Folder(tmp_path, ports | {"7000": str(ports_in_a_row(ranks))})

    return exported


class Folder:
    """Scripts of a document in one folder."""

    def __init__(self, path, ports):
        self.path = path
        self.ports = ports

    def write(self, name, text):
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_text(text)

    def run(self, name, text):
        return RunningScript(self.path, self._text(text), name=name)

    def client(self, text):
        ended = run_script(self.path, self._text(text), name="client.py")
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def infer(self):
        with Client(f"127.0.0.1:{self.ports['5500']}", "matmul", "predict") as client:
            (answer,) = client.infer({"x": np.ones((128, 96), np.float32)}, timeout=60)
        return answer["y"]

    def _text(self, text):
        return re.sub("|".join(self.ports), lambda port: self.ports[port[0]], text)


def test_the_scripts_of_1_2_run_eight_ranks_and_print_what_their_document_says(exported):
    folder = exported(ranks=8)
    folder.write("matmul/servable_config.py", CONFIG_1_2)
    folder.write("rank_table_8pcs.json", rank_table(("127.0.0.1", range(8))))
    with (
        folder.run("master_with_worker.py", MASTER_WITH_WORKER_1_2) as server,
        folder.run("agent.py", AGENT_1_2) as agents,
    ):
        server.until("RESTful server start success")
        agents.until("Success to start agents, ")
        assert folder.client(CLIENT_1_2) == PRINTED
        deprecated = [
            line.split("'")[1] for script in (server, agents) for line in script.said
            if "is deprecated" in line
        ]  # fmt: skip
    assert deprecated == [
        "mindspore_serving.worker.distributed.start_distributed_servable_in_master",
        "mindspore_serving.master.start_grpc_server",
        "mindspore_serving.master.start_restful_server",
        "mindspore_serving.worker.distributed.startup_worker_agents",
    ]


def test_the_scripts_of_1_3_run_a_pipeline_over_two_graphs_of_eight_ranks(exported):
    folder = exported(ranks=8)
    for each in (folder.path / "model").iterdir():
        # The document exports its first network twice.
        shutil.copy(each / "matmul.mindir", each / "matmul_1.mindir")
        (each / "matmul.mindir").rename(each / "matmul_0.mindir")
    folder.write("matmul/servable_config.py", CONFIG_1_3 + METHODS)
    folder.write("rank_table_8pcs.json", rank_table(("127.0.0.1", range(8))))
    # The document leaves the agents' port to its default.
    agent = AGENT_1_3.replace("group_config_files=g", "agent_start_port=7000, group_config_files=g")
    with (
        folder.run("serving_server.py", SERVER.replace("table.json", "table_8pcs.json")) as server,
        folder.run("serving_agent.py", agent) as agents,
    ):
        server.until("RESTful server start success")
        agents.until("Success to start agents, ")
        printed = folder.client(CLIENT)
    # Of two outputs either may come first.
    result = PRINTED.removesuffix("}]\n").removeprefix("result:\n [{'y': ")
    z, x = (f"'{name}': {result}" for name in "zx")
    x = x.replace("48", "96")
    assert printed in [f"result:\n [{{{', '.join(both)}}}]\n" for both in ((x, z), (z, x))]


@pytest.mark.parametrize(
    ("ranks", "stages", "pipeline"), [(2, 1, False), (2, 2, False), (4, 2, True)]
)
def test_scripts_since_1_5_run_ranks_and_stages(exported, ranks, stages, pipeline):
    folder = exported(ranks, stages)
    config = CONFIG.format(ranks=ranks, stages=stages, pipeline=pipeline)
    folder.write("matmul/servable_config.py", config)
    folder.write("rank_table.json", rank_table(("127.0.0.1", range(ranks))))
    with (
        folder.run("serving_agent.py", AGENT.format(ranks=ranks)) as agents,
        folder.run("serving_server.py", SERVER) as server,
    ):
        server.until("gRPC server start success")
        agents.until("Success to start agents, ")
        assert np.array_equal(folder.infer(), np.full((128, 16), -48, np.float32))
