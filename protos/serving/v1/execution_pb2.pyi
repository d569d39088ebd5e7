from protos.serving.v1 import exchange_pb2 as _exchange_pb2
from protos.serving.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecuteHead(_message.Message):
    __slots__ = ("servable", "version", "model", "rows", "epoch")
    SERVABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    servable: str
    version: int
    model: str
    rows: int
    epoch: int
    def __init__(self, servable: _Optional[str] = ..., version: _Optional[int] = ..., model: _Optional[str] = ..., rows: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("subgraph", "inputs", "region", "output_offset", "without_outputs")
    SUBGRAPH_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    subgraph: int
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Tensor]
    region: _exchange_pb2.Region
    output_offset: int
    without_outputs: bool
    def __init__(self, subgraph: _Optional[int] = ..., inputs: _Optional[_Iterable[_Union[_tensor_pb2.Tensor, _Mapping]]] = ..., region: _Optional[_Union[_exchange_pb2.Region, _Mapping]] = ..., output_offset: _Optional[int] = ..., without_outputs: _Optional[bool] = ...) -> None: ...

class ExecuteReply(_message.Message):
    __slots__ = ("outputs",)
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Tensor]
    def __init__(self, outputs: _Optional[_Iterable[_Union[_tensor_pb2.Tensor, _Mapping]]] = ...) -> None: ...
