"""The server app of MindSpore's llm-serving: where clients of a language model call.

``python -m mindspore_serving.server.server_app_post`` runs it for ``config/serving_config.py`` in
the working directory, with ``--config FILE`` for a YAML file. It is started after the agents.
"""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from mindspore_serving.config.language_model import LanguageModelConfig
from mindspore_serving.config.module import serving_config
from mindspore_serving.server.readiness import wait_until_serving
from mindspore_serving.server.script import stops_all_on_failure, this_script
from mindspore_serving.server.stack import free_address

__all__ = ["init_server_app", "run_server_app", "warmup_model"]

_FAILED = "Fail to start the server app"


@stops_all_on_failure
def init_server_app(
    config: Mapping[str, Any] | None = None, *, wait_agents_seconds: float = 60.0
) -> None:
    """Start what clients call; returns when the model of the agents can be called there.

    config: a ``ServingConfig``; None takes ``config/serving_config.py``.
    wait_agents_seconds: how long agents may take to be there.
    Raises RuntimeError that names a field and its value, or when there are no agents.
    """
    asked = _read(config)
    stack = this_script.begin("server app", "Serving Error: the server app is already running")
    server, membership = str(asked.server), str(asked.membership)
    master = stack.children.start(
        "restful_master",
        "master",
        f"{_FAILED} at {server}",
        *("--rest-address", server),
        *("--membership-address", membership),
        *("--listen", free_address()),
        *("--text-model", asked.name),
        address=membership,
    )
    try:
        wait_until_serving(stack.children, [master], membership, asked.name, wait_agents_seconds)
    except RuntimeError as failure:
        if master.ended:
            raise
        raise RuntimeError(
            f"{failure}: no agents of '{asked.name}' came to {membership}; start_agent.py comes"
            " first, until it says that all agents started"
        ) from None
    this_script.stay_alive()


def warmup_model(model_name: str) -> None:
    """Nothing is left to do: agents have run all graphs before they were started."""
    del model_name
    print("mindspore serving is started.", flush=True)


def run_server_app(config: Mapping[str, Any] | None = None) -> None:
    """Serve until a signal comes, or nothing is left that could be called.

    config: as of ``init_server_app``, which is done here if it was not.
    """
    if not this_script.has_begun("server app"):
        init_server_app(config)
    server = _read(config).server
    print(f"server port is:  {server.port}", flush=True)
    print(f"Uvicorn running on http://{server} (Press CTRL+C to quit)", flush=True)
    this_script.wait()


def _read(config: Mapping[str, Any] | None) -> LanguageModelConfig:
    if config is None:
        return LanguageModelConfig.of_module(serving_config())
    return LanguageModelConfig.of_yaml(config)


def main() -> None:
    """What the module does as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", metavar="FILE", help="a YAML file")
    file = parser.parse_args().config
    try:
        if file is None:
            run_server_app()
        else:
            from mindspore_serving.config.config import ServingConfig  # noqa: PLC0415 (needs PyYAML)

            run_server_app(ServingConfig(file))
    except RuntimeError as failure:
        sys.exit(f"ERROR: {failure}")


if __name__ == "__main__":
    main()
