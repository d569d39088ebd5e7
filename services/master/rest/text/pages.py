"""(pure) What a GET is answered about language models."""

from collections.abc import Iterable, Sequence
from typing import Any

from services.master.rest.text import original
from services.master.rest.text.tgi_requests import MAX_BEST_OF, MAX_STOPS
from shared.errors import NotServed
from shared.text_generation import ListedModel

_OWNER = "mindserve"


def list_models(models: Iterable[ListedModel]) -> dict[str, Any]:
    """``/v1/models``."""
    return {"object": "list", "data": list(map(write_model, models))}


def find_model(models: Iterable[ListedModel], name: str) -> dict[str, Any]:
    """``/v1/models/MODEL``; raises NotServed."""
    for model in models:
        if model.name == name:
            return write_model(model)
    raise NotServed(f"model '{name}' does not exist")


def write_model(model: ListedModel) -> dict[str, Any]:
    """One model, with what vLLM adds."""
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": _OWNER,
        "root": model.base or model.name,
        "parent": model.base or None,
        "max_model_len": model.max_model_len,
    }


def tgi_info(model: ListedModel, max_requests: int, version: str) -> dict[str, Any]:
    """``/info``."""
    return {
        "model_id": model.name,
        "model_sha": None,
        "model_device_type": model.device_type.lower(),
        "model_pipeline_tag": "text-generation",
        "max_concurrent_requests": max_requests,
        "max_best_of": MAX_BEST_OF,
        "max_stop_sequences": MAX_STOPS,
        "max_input_tokens": max(model.max_model_len - 1, 0),
        "max_total_tokens": model.max_model_len,
        "validation_workers": 0,
        "max_client_batch_size": 1,
        "router": _OWNER,
        "version": version,
        "sha": None,
        "docker_label": None,
    }


def serving(name: str, models: Sequence[ListedModel], asked: ListedModel) -> dict[str, Any]:
    """The one event of ``/serving/NAME``; ``asked`` is the model that it is about."""
    match name:
        case "get_bs":
            return original.message(asked.slots)
        case "get_request_numbers":
            return original.message(sum(model.outstanding for model in models if not model.base))
        case "get_serverd_model_info":
            return original.message(original.model_info(asked))
        case _:
            raise NotServed(f"please check url, nothing is at '/serving/{name[:100]}'")
