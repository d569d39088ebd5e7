"""Serves zen on one CPU agent; the model must have been exported."""

import argparse
import os
import sys

from mindspore_serving import server


def start(grpc, rest):
    servable_dir = os.path.dirname(os.path.realpath(sys.argv[0]))
    servable_config = server.ServableStartConfig(
        servable_directory=servable_dir, servable_name="zen", device_ids=0
    )
    server.start_servables(servable_configs=servable_config)
    server.start_grpc_server(address=grpc)
    server.start_restful_server(address=rest)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", default="127.0.0.1:5500", metavar="HOST:PORT")
    parser.add_argument("--rest", default="127.0.0.1:1500", metavar="HOST:PORT")
    start(**vars(parser.parse_args()))
