"""Starts the agents of all ranks of this machine; the models must have been exported."""

import argparse

from mindspore_serving.server import distributed


def start_agents(distributed_address, agent_start_port):
    model_files = []
    group_configs = []
    for i in range(8):
        model_files.append(f"model/device{i}/matmul.mindir")
        group_configs.append(f"model/device{i}/group_config.pb")
    distributed.startup_agents(
        distributed_address=distributed_address,
        model_files=model_files,
        group_config_files=group_configs,
        agent_start_port=agent_start_port,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distributed-address", default="127.0.0.1:6200", metavar="HOST:PORT")
    parser.add_argument("--agent-start-port", type=int, default=7000, metavar="PORT")
    start_agents(**vars(parser.parse_args()))
