"""Starts the worker and the agents of a language model, and waits until they serve it."""

import json
from collections.abc import Sequence

from mindspore_serving.agent.servable_folder import VERSION, files_of_rank, write_servable
from mindspore_serving.config.language_model import LanguageModelConfig
from mindspore_serving.server.child import LOG_FOLDER, Child
from mindspore_serving.server.children import Children
from mindspore_serving.server.readiness import wait_until_serving
from shared.ports import free_port

_FOLDER = LOG_FOLDER / "servables"
_FAILED = "Fail to start agents"


def start_language_model(children: Children, config: LanguageModelConfig) -> None:
    """Returns when every agent holds the model, all of whose graphs have run once.

    What is served is written to ``serving_logs/servables``. The worker joins the server whenever
    that is there. Raises RuntimeError with the reason.
    """
    write_servable(config, _FOLDER.absolute())
    address = f"127.0.0.1:{free_port()}"
    worker = children.start(
        f"{config.name}_worker_version{VERSION}",
        "worker",
        _FAILED,
        *("--listen", address),
        *("--masters", str(config.membership)),
        *("--servable-directory", str(_FOLDER.absolute())),
        *("--servables", f"{config.name}:{VERSION}"),
        "--fail-fast",
        address=address,
        part=config.name,
    )
    wait_until_serving(
        children, [worker, *_agents(children, config, address)], address, config.name
    )


def _agents(children: Children, config: LanguageModelConfig, worker: str) -> Sequence[Child]:
    return [
        children.start(
            f"{config.name}_device{config.first_device + rank}_version{VERSION}",
            "agent",
            f"{_FAILED}, rank {rank}",
            *("--worker", worker),
            *("--listen", str(listens)),
            *("--device-id", str(config.first_device + rank)),
            *_files(config, rank),
            "--first-load-must-succeed",
            address=str(listens),
            part=config.name,
        )
        for rank, listens in enumerate(config.agents)
    ]


def _files(config: LanguageModelConfig, rank: int) -> Sequence[str]:
    """What an agent is told of its part of the model, if there are several."""
    if len(config.agents) == 1:
        return ()
    return "--rank", str(rank), "--model-files", json.dumps(files_of_rank(config, rank))
