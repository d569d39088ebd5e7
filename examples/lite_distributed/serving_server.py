"""Serves matmul, whose ranks serving_agent.py starts; returns when both are there."""

import argparse
import os
import sys

from mindspore_serving import server
from mindspore_serving.server import distributed


def start(distributed_address, grpc, rest):
    servable_dir = os.path.dirname(os.path.realpath(sys.argv[0]))
    distributed.start_servable(
        servable_dir,
        "matmul",
        rank_table_json_file="rank_table_2pcs.json",
        version_number=1,
        distributed_address=distributed_address,
    )
    server.start_grpc_server(address=grpc)
    server.start_restful_server(address=rest)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distributed_address", default="127.0.0.1:6200", metavar="HOST:PORT")
    parser.add_argument("--grpc", default="127.0.0.1:5500", metavar="HOST:PORT")
    parser.add_argument("--rest", default="127.0.0.1:1500", metavar="HOST:PORT")
    start(**vars(parser.parse_args()))
