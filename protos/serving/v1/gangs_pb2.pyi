from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeGangRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GangDescription(_message.Message):
    __slots__ = ("servable", "version", "rank_size", "stage_size", "places")
    SERVABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RANK_SIZE_FIELD_NUMBER: _ClassVar[int]
    STAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    servable: str
    version: int
    rank_size: int
    stage_size: int
    places: _containers.RepeatedCompositeFieldContainer[RankPlace]
    def __init__(self, servable: _Optional[str] = ..., version: _Optional[int] = ..., rank_size: _Optional[int] = ..., stage_size: _Optional[int] = ..., places: _Optional[_Iterable[_Union[RankPlace, _Mapping]]] = ...) -> None: ...

class RankPlace(_message.Message):
    __slots__ = ("ip", "device_id")
    IP_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    ip: str
    device_id: int
    def __init__(self, ip: _Optional[str] = ..., device_id: _Optional[int] = ...) -> None: ...

class AwaitGangRequest(_message.Message):
    __slots__ = ("wait_seconds",)
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    wait_seconds: float
    def __init__(self, wait_seconds: _Optional[float] = ...) -> None: ...

class AwaitGangReply(_message.Message):
    __slots__ = ("serves", "progress")
    SERVES_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    serves: bool
    progress: str
    def __init__(self, serves: _Optional[bool] = ..., progress: _Optional[str] = ...) -> None: ...
