from protos.serving.v1 import exchange_pb2 as _exchange_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class DispatchedPredict(_message.Message):
    __slots__ = ("predict_request", "version")
    PREDICT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    predict_request: bytes
    version: int
    def __init__(self, predict_request: _Optional[bytes] = ..., version: _Optional[int] = ...) -> None: ...
