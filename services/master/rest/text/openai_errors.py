"""(pure) Failures as clients of OpenAI's dialect read them."""

from typing import Any

from services.master.rest.statuses import InvalidField, Unauthorized, status_of
from shared import errors

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


def write_failure(failure: errors.ServingError) -> dict[str, Any]:
    """``{"error": {"message", "type", "param", "code"}}``."""
    status = status_of(failure)
    code: str | int = status
    if isinstance(failure, errors.NotServed):
        code = "model_not_found"
    elif isinstance(failure, Unauthorized):
        code = "invalid_api_key"
    return {
        "error": {
            "message": failure.message,
            "type": _TYPES.get(status, "server_error"),
            "param": failure.name if isinstance(failure, InvalidField) else None,
            "code": code,
        }
    }
