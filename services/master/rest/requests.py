"""(pure) Bodies of requests, and replies, in JSON."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.master.rest.statuses import status_of, status_of_all
from services.master.rest.values import read_value, write_value
from services.master.spec import Spec
from shared.errors import InternalError, InvalidRequest, ServingError
from shared.tensors import Value
from shared.wire.predict_caller import read_reply, write_request

_FAILED = "Parser request failed, "


def read_json(body: bytes | bytearray) -> Any:
    """The JSON of a body; raises InvalidRequest."""
    if not body:
        raise InvalidRequest("http message invalid, expected a JSON object, got an empty body")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as failure:
        raise InvalidRequest(f"Illegal JSON format. {failure}") from None


def read_request(spec: Spec, asked: Any) -> bytes:
    """The serialized PredictRequest of a body's JSON, for what its URL names.

    Raises InvalidRequest that says where, what was expected and what came.
    """
    instances = _instances(asked)
    return write_request(spec.servable, spec.method, spec.version, instances)


def write_reply(message: bytes) -> tuple[bytes, int]:
    """The JSON of a serialized PredictReply, and the status that it honestly has."""
    reply = read_reply(message)
    if reply.failure is not None:
        return write_failure(reply.failure), status_of(reply.failure)
    outcomes = reply.instances
    failures = [each if isinstance(each, ServingError) else None for each in outcomes]
    return _dump({"instances": [_outcome(each) for each in outcomes]}), status_of_all(failures)


def write_failure(failure: ServingError) -> bytes:
    """The JSON of a request that failed as a whole."""
    return _dump({"error_msg": failure.message})


def _outcome(outcome: Mapping[str, Value] | ServingError) -> dict[str, Any]:
    if isinstance(outcome, ServingError):
        return {"error_msg": outcome.message}
    return {name: write_value(value) for name, value in outcome.items()}


def _dump(answer: Any) -> bytes:
    try:
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:
        raise InternalError("the reply cannot be written as JSON") from None


def _instances(asked: Any) -> list[dict[str, Value]]:
    if not isinstance(asked, dict) or "instances" not in asked:
        raise InvalidRequest(
            f"{_FAILED}key 'instances' expects to exist once, but actually 0 times"
        )
    instances = asked["instances"]
    if isinstance(instances, dict):
        if not instances:
            raise InvalidRequest(f"{_FAILED}json object, value is empty (instances)")
        return [_values(instances, "instances")]
    if not isinstance(instances, list):
        raise InvalidRequest(f"{_FAILED}instances value should be an object or an array of objects")
    if not instances:
        raise InvalidRequest(f"{_FAILED}instances value is array type, but no value")
    if not isinstance(instances[0], dict):
        raise InvalidRequest(
            f"{_FAILED}instances no key mode is not supported,"
            " expected an object or an array of objects"
        )
    return [_instance(each, f"instances[{at}]") for at, each in enumerate(instances)]


def _instance(instance: Any, where: str) -> dict[str, Value]:
    if not isinstance(instance, dict):
        raise InvalidRequest(f"{_FAILED}json array, instance is not object type ({where})")
    if not instance:
        raise InvalidRequest(
            f"{_FAILED}json array, instance is object type, but no value ({where})"
        )
    return _values(instance, where)


def _values(instance: dict[str, Any], where: str) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, value in instance.items():
        try:
            values[name] = read_value(value)
        except InvalidRequest as fault:
            shown = name if len(name) <= 60 else f"{name[:60]}..."
            raise InvalidRequest(f"{_FAILED}{fault.message} ({where}, key '{shown}')") from None
    return values
