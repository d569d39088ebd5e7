from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VersionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERSION_STATE_UNSPECIFIED: _ClassVar[VersionState]
    VERSION_STATE_UNLOADED: _ClassVar[VersionState]
    VERSION_STATE_LOADING: _ClassVar[VersionState]
    VERSION_STATE_READY: _ClassVar[VersionState]
    VERSION_STATE_RETIRING: _ClassVar[VersionState]
    VERSION_STATE_FAILED: _ClassVar[VersionState]
VERSION_STATE_UNSPECIFIED: VersionState
VERSION_STATE_UNLOADED: VersionState
VERSION_STATE_LOADING: VersionState
VERSION_STATE_READY: VersionState
VERSION_STATE_RETIRING: VersionState
VERSION_STATE_FAILED: VersionState

class IndexRequest(_message.Message):
    __slots__ = ("servable",)
    SERVABLE_FIELD_NUMBER: _ClassVar[int]
    servable: str
    def __init__(self, servable: _Optional[str] = ...) -> None: ...

class LoadRequest(_message.Message):
    __slots__ = ("servable", "version")
    SERVABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    servable: str
    version: int
    def __init__(self, servable: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class UnloadRequest(_message.Message):
    __slots__ = ("servable", "version")
    SERVABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    servable: str
    version: int
    def __init__(self, servable: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class RepositoryReply(_message.Message):
    __slots__ = ("versions", "silent_workers")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SILENT_WORKERS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[VersionStatus]
    silent_workers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, versions: _Optional[_Iterable[_Union[VersionStatus, _Mapping]]] = ..., silent_workers: _Optional[_Iterable[str]] = ...) -> None: ...

class VersionStatus(_message.Message):
    __slots__ = ("servable", "version", "state", "detail", "worker")
    SERVABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    servable: str
    version: int
    state: VersionState
    detail: str
    worker: str
    def __init__(self, servable: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[VersionState, str]] = ..., detail: _Optional[str] = ..., worker: _Optional[str] = ...) -> None: ...
