"""Starts an agent for each rank of matmul on this machine: ``serving_agent.py``.

``--model_path model/Matmul.mindir`` stands for a file of each rank, model/Matmul0.mindir and
model/Matmul1.mindir, below this file's folder.
"""

import argparse

from mindspore_serving.server import distributed

RANK_SIZE = 2


def start_agents(distributed_address, model_path, agent_start_port):
    """Each loads the model of its rank; which device it has stands in the rank table."""
    model_files = [model_path.replace(".mindir", f"{rank}.mindir") for rank in range(RANK_SIZE)]
    distributed.startup_agents(
        distributed_address=distributed_address,
        model_files=model_files,
        agent_start_port=agent_start_port,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distributed_address", default="127.0.0.1:6200", metavar="HOST:PORT")
    parser.add_argument("--model_path", default="model/Matmul.mindir")
    parser.add_argument("--agent_start_port", type=int, default=7000)
    start_agents(**vars(parser.parse_args()))
