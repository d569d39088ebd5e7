"""Serves add_sub_pipeline on two CPU agents; the model must have been exported."""

import os
import sys

from mindspore_serving import server


def start():
    servable_dir = os.path.dirname(os.path.realpath(sys.argv[0]))
    servable_config = server.ServableStartConfig(
        servable_directory=servable_dir, servable_name="add_sub_pipeline", device_ids=(0, 1)
    )
    server.start_servables(servable_configs=servable_config)
    server.start_grpc_server(address="127.0.0.1:5500")
    server.start_restful_server(address="127.0.0.1:1500")


if __name__ == "__main__":
    start()
