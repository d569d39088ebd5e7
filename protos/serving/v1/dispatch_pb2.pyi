from protos.serving.v1 import exchange_pb2 as _exchange_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class DispatchHead(_message.Message):
    __slots__ = ("version", "priority", "default_timeout")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    version: int
    priority: int
    default_timeout: bool
    def __init__(self, version: _Optional[int] = ..., priority: _Optional[int] = ..., default_timeout: _Optional[bool] = ...) -> None: ...
