"""Distributed servables of the reference backend, and the three scripts of each."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

from shared.ports import free_port
from tests.support.reference import reference_model
from tests.support.scripts import RunningScript, run_script

CONFIG = """
    from mindspore_serving.server import distributed, register

    model = distributed.declare_servable(
        rank_size={ranks}, stage_size={stages}, with_batch_dim=False, model_format="Reference")


    @register.register_method(output_names=["y"])
    def predict(x):
        return register.add_stage(model, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def second(x):
        return register.add_stage(lambda x: model.call(x, subgraph=1), x, outputs_count=1)
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
                                   distributed_address="{address}", {more})
        server.start_grpc_server("{grpc}")
        print("server started", flush=True)

    if __name__ == "__main__":
        start()
"""
AGENT = """
    from mindspore_serving.server import distributed

    if __name__ == "__main__":
        distributed.startup_agents(distributed_address="{address}", model_files={files},
                                   agent_start_port={port}, {more})
        print("agents started", flush=True)
"""
CLIENT = """
    import numpy as np
    from mindspore_serving.client import Client

    client = Client("{grpc}", "matmul", "{method}")
    print(client.infer({{"x": np.ones((2, 2), np.float32)}}))
"""
DOUBLED = "[{'y': array([[2., 2.],\n       [2., 2.]], dtype=float32)}]\n"


def rank_table(*servers: tuple[str, Sequence[int]]) -> str:
    """For each server its address and its device ids."""
    ranks = iter(range(1000))
    devices = (
        (ip, [{"device_id": str(each), "rank_id": str(next(ranks))} for each in ids])
        for ip, ids in servers
    )
    return json.dumps(
        {"server_list": [{"server_id": ip, "device": device} for ip, device in devices]}
    )


class Scripts:
    """The three scripts, which agree on addresses, in one folder."""

    def __init__(self, folder: Path, ranks: int, stages: int = 1) -> None:
        self.folder = folder
        self.ranks = ranks
        self.grpc = f"127.0.0.1:{free_port()}"
        self.port = free_port()
        self.agent_port = ports_in_a_row(ranks)
        (folder / "matmul").mkdir()
        (folder / "matmul" / "servable_config.py").write_text(
            textwrap.dedent(CONFIG.format(ranks=ranks, stages=stages))
        )
        for rank in range(ranks):
            self.write_model(rank)
        self.write_table(("127.0.0.1", range(ranks)))

    def write_table(self, *servers: tuple[str, Sequence[int]]) -> None:
        """See ``rank_table``."""
        (self.folder / "rank_table.json").write_text(rank_table(*servers))

    def write_model(
        self, rank: int, function: str = "double", name: str = "", **more: object
    ) -> None:
        """The file of a rank: a toy of one input."""
        file = self.folder / (name or f"rank{rank}.json")
        file.write_text(reference_model(function, ("x",), dims=(2, 2), **more))

    def server(
        self, more: str = "", host: str = "127.0.0.1", name: str = "server.py"
    ) -> RunningScript:
        """The script of master and worker, started."""
        text = SERVER.format(address=f"{host}:{self.port}", grpc=self.grpc, more=more)
        return RunningScript(self.folder, text, name=name)

    def agents(
        self,
        more: str = "",
        files: Sequence[object] | None = None,
        name: str = "agent.py",
    ) -> RunningScript:
        """The script of the agents, started."""
        given = [f"rank{rank}.json" for rank in range(self.ranks)] if files is None else files
        text = AGENT.format(
            address=f"127.0.0.1:{self.port}", files=list(given), port=self.agent_port, more=more
        )
        return RunningScript(self.folder, text, name=name)

    def infer(self, method: str = "predict") -> str:
        """What the client prints."""
        ended = run_script(
            self.folder, CLIENT.format(grpc=self.grpc, method=method), name="client.py"
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def ports_in_a_row(count: int) -> int:
    """The first of so many ports that are free now."""
    while True:
        first = free_port()
        taken = [free_port(first + index) for index in range(1, count)]
        if taken == list(range(first + 1, first + count)):
            return first
