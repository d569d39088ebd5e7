"""The document on pipelines of version 1.3, script by script, with its model on one device.

Its network, its servable_config.py, its client and what that prints stand here as it prints
them. Where it speaks of eight Ascends one line changes, to what it names for one device:
``declare_servable`` with a list of files in place of a distributed one. Its export script needs
Ascends; ours calls the same network.
"""

import subprocess
import sys
import textwrap

import pytest

from tests.support.pipeline_document import CLIENT, METHODS
from tests.support.scripts import RunningScript, logs_in, run_script

pytestmark = [pytest.mark.mindspore, pytest.mark.timeout(300)]

NET = """
import numpy as np
from mindspore import Tensor, Parameter, ops
from mindspore.nn import Cell


class Net(Cell):
    def __init__(self, matmul_size, init_val, transpose_a=False, transpose_b=False, strategy=None):
        super().__init__()
        matmul_np = np.full(matmul_size, init_val, dtype=np.float32)
        self.matmul_weight = Parameter(Tensor(matmul_np))
        self.matmul = ops.MatMul(transpose_a=transpose_a, transpose_b=transpose_b)
        self.neg = ops.Neg()
        if strategy is not None:
            self.matmul.shard(strategy)

    def construct(self, inputs):
        x = self.matmul(inputs, self.matmul_weight)
        x = self.neg(x)
        return x
"""
# The document's exporter makes its second graph from the first network, whose weight is 0.5.
EXPORT = """
import os
import sys

import mindspore as ms
import numpy as np
from mindspore import Tensor, export
from net import Net

ms.set_device("CPU")
network = Net(matmul_size=(96, 16), init_val=0.5)
predict_data = Tensor(np.random.randn(128, 96).astype(np.float32))
folder = os.path.join(os.path.dirname(sys.argv[0]), "..", "matmul", "1")
export(network, predict_data, file_name=os.path.join(folder, "matmul_0"), file_format="MINDIR")
export(network, predict_data, file_name=os.path.join(folder, "matmul_1"), file_format="MINDIR")
"""
CONFIG = """
import numpy as np
from mindspore_serving.server import register
from mindspore_serving.server.register import PipelineServable

register.declare_servable(servable_file=["matmul_0.mindir", "matmul_1.mindir"],
                          model_format="MindIR", with_batch_dim=False)
"""
SERVER = """
    import os
    import sys
    from mindspore_serving import server

    def start():
        servable_dir = os.path.dirname(os.path.realpath(sys.argv[0]))
        config = server.ServableStartConfig(servable_dir, "matmul", device_ids=0, version_number=1)
        server.start_servables(config)
        server.start_grpc_server("127.0.0.1:PORT")
        server.start_restful_server("127.0.0.1:PORT2")

    if __name__ == "__main__":
        start()
"""
PRINTED = """\
result:
 [{'x': array([[-96., -96., -96., ..., -96., -96., -96.],
       [-96., -96., -96., ..., -96., -96., -96.],
       [-96., -96., -96., ..., -96., -96., -96.],
       ...,
       [-96., -96., -96., ..., -96., -96., -96.],
       [-96., -96., -96., ..., -96., -96., -96.],
       [-96., -96., -96., ..., -96., -96., -96.]], dtype=float32), 'z': array([[-48., -48., -48., ..., -48., -48., -48.],
       [-48., -48., -48., ..., -48., -48., -48.],
       [-48., -48., -48., ..., -48., -48., -48.],
       ...,
       [-48., -48., -48., ..., -48., -48., -48.],
       [-48., -48., -48., ..., -48., -48., -48.],
       [-48., -48., -48., ..., -48., -48., -48.]], dtype=float32)}]
"""  # noqa: E501 (as NumPy prints it)


def write_layout(folder):
    """The document's folder: exporter and network, servable, and room for the two models."""
    for name, text in (
        ("export_model/net.py", NET),
        ("export_model/export.py", EXPORT),
        ("matmul/servable_config.py", CONFIG + METHODS),
    ):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    (folder / "matmul" / "1").mkdir()
    subprocess.run([sys.executable, folder / "export_model" / "export.py"], check=True, timeout=120)


def test_the_documents_scripts_print_what_it_says(tmp_path):
    write_layout(tmp_path)
    with RunningScript(tmp_path, SERVER, name="serving_server.py") as script:
        address = script.until("gRPC server start success").rpartition(" ")[2]
        port = address.rpartition(":")[2]
        client = CLIENT.replace("5500", port)
        done = run_script(tmp_path, client, name="serving_client.py")
        assert (done.stdout, done.stderr) == (PRINTED, ""), logs_in(tmp_path)
        log = (tmp_path / "serving_logs" / "log_matmul_worker_version1.log").read_text()
    assert [line for line in log.splitlines() if line.isdecimal()] == list("0123456789")
