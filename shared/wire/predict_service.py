"""``MSService``, the original's contract, as every service that clients call serves it."""

import itertools
import uuid
from collections.abc import Mapping

from protos.ms_service import ms_service_pb2
from shared.errors import InvalidRequest
from shared.urgency import DEFAULT_PRIORITY

SERVICE_NAME: str = ms_service_pb2.DESCRIPTOR.services_by_name["MSService"].full_name
PREDICT_PATH = f"/{SERVICE_NAME}/Predict"
REQUEST_ID_KEY = "x-request-id"
PRIORITY_KEY = "x-request-priority"
VERSION_LABEL_KEY = "x-version-label"
"""Names a version by a label of the master; beside the message, whose fields are fixed."""
_MAX_REQUEST_ID_LENGTH = 128
_MOST_PRIORITY_DIGITS = 3


def priority_of(metadata: Mapping[str, str]) -> int:
    """The priority level that a caller asks for; 0: none.

    Raises InvalidRequest for what is no level; how many there are is for workers to say.
    """
    given = metadata.get(PRIORITY_KEY)
    return DEFAULT_PRIORITY if given is None else read_priority(given)


def read_priority(given: str) -> int:
    """The same of its text."""
    if not given.isascii() or not given.isdigit() or len(given) > _MOST_PRIORITY_DIGITS:
        raise InvalidRequest(
            f"{PRIORITY_KEY}: expected a level from 1 (the highest), or 0 for the default,"
            f" got '{given[:60]}'"
        )
    return int(given)


class RequestIds:
    """What logs call a request: the client's own id, or one that this process makes."""

    def __init__(self) -> None:
        # Numbers of this process; something random for each request would cost more.
        self._process = uuid.uuid4().hex[:8]
        self._numbers = itertools.count(1)

    def of(self, metadata: Mapping[str, str]) -> str:
        """The id of one request."""
        given = metadata.get(REQUEST_ID_KEY, "")[:_MAX_REQUEST_ID_LENGTH]
        return given or f"{self._process}-{next(self._numbers):x}"
