from protos.serving.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HoldingState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOLDING_STATE_UNSPECIFIED: _ClassVar[HoldingState]
    HOLDING_STATE_LOADING: _ClassVar[HoldingState]
    HOLDING_STATE_READY: _ClassVar[HoldingState]
    HOLDING_STATE_FAILED: _ClassVar[HoldingState]
HOLDING_STATE_UNSPECIFIED: HoldingState
HOLDING_STATE_LOADING: HoldingState
HOLDING_STATE_READY: HoldingState
HOLDING_STATE_FAILED: HoldingState

class Report(_message.Message):
    __slots__ = ("hello", "heartbeat", "offers", "holdings")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    HOLDINGS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: Heartbeat
    offers: Offers
    holdings: Holdings
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., offers: _Optional[_Union[Offers, _Mapping]] = ..., holdings: _Optional[_Union[Holdings, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("member_id", "address", "local_address", "device", "rank", "epoch", "generation_role")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    GENERATION_ROLE_FIELD_NUMBER: _ClassVar[int]
    member_id: str
    address: str
    local_address: str
    device: Device
    rank: int
    epoch: int
    generation_role: str
    def __init__(self, member_id: _Optional[str] = ..., address: _Optional[str] = ..., local_address: _Optional[str] = ..., device: _Optional[_Union[Device, _Mapping]] = ..., rank: _Optional[int] = ..., epoch: _Optional[int] = ..., generation_role: _Optional[str] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("type", "id")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: int
    def __init__(self, type: _Optional[str] = ..., id: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("outstanding",)
    OUTSTANDING_FIELD_NUMBER: _ClassVar[int]
    outstanding: int
    def __init__(self, outstanding: _Optional[int] = ...) -> None: ...

class Offers(_message.Message):
    __slots__ = ("offers", "draining")
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    offers: _containers.RepeatedCompositeFieldContainer[Offer]
    draining: bool
    def __init__(self, offers: _Optional[_Iterable[_Union[Offer, _Mapping]]] = ..., draining: _Optional[bool] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("servable", "version", "methods", "capacity", "language")
    SERVABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    servable: str
    version: int
    methods: _containers.RepeatedCompositeFieldContainer[OfferedMethod]
    capacity: int
    language: LanguageOffer
    def __init__(self, servable: _Optional[str] = ..., version: _Optional[int] = ..., methods: _Optional[_Iterable[_Union[OfferedMethod, _Mapping]]] = ..., capacity: _Optional[int] = ..., language: _Optional[_Union[LanguageOffer, _Mapping]] = ...) -> None: ...

class LanguageOffer(_message.Message):
    __slots__ = ("adapters", "max_model_len", "slots", "chat", "created", "device_type")
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    MAX_MODEL_LEN_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
    adapters: _containers.RepeatedScalarFieldContainer[str]
    max_model_len: int
    slots: int
    chat: bool
    created: int
    device_type: str
    def __init__(self, adapters: _Optional[_Iterable[str]] = ..., max_model_len: _Optional[int] = ..., slots: _Optional[int] = ..., chat: _Optional[bool] = ..., created: _Optional[int] = ..., device_type: _Optional[str] = ...) -> None: ...

class OfferedMethod(_message.Message):
    __slots__ = ("name", "inputs", "outputs")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    inputs: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., inputs: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("welcome", "assignment")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    assignment: Assignment
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., assignment: _Optional[_Union[Assignment, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("registrar_id", "lease_seconds")
    REGISTRAR_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    registrar_id: str
    lease_seconds: float
    def __init__(self, registrar_id: _Optional[str] = ..., lease_seconds: _Optional[float] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("servables",)
    SERVABLES_FIELD_NUMBER: _ClassVar[int]
    servables: _containers.RepeatedCompositeFieldContainer[ServableVersion]
    def __init__(self, servables: _Optional[_Iterable[_Union[ServableVersion, _Mapping]]] = ...) -> None: ...

class ServableVersion(_message.Message):
    __slots__ = ("servable", "version", "models", "gang")
    SERVABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    GANG_FIELD_NUMBER: _ClassVar[int]
    servable: str
    version: int
    models: _containers.RepeatedCompositeFieldContainer[ModelFiles]
    gang: GangPart
    def __init__(self, servable: _Optional[str] = ..., version: _Optional[int] = ..., models: _Optional[_Iterable[_Union[ModelFiles, _Mapping]]] = ..., gang: _Optional[_Union[GangPart, _Mapping]] = ...) -> None: ...

class GangPart(_message.Message):
    __slots__ = ("epoch", "rank", "rank_size", "group_rank", "group_size", "scheduler", "rank_table")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    RANK_SIZE_FIELD_NUMBER: _ClassVar[int]
    GROUP_RANK_FIELD_NUMBER: _ClassVar[int]
    GROUP_SIZE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    RANK_TABLE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    rank: int
    rank_size: int
    group_rank: int
    group_size: int
    scheduler: str
    rank_table: str
    def __init__(self, epoch: _Optional[int] = ..., rank: _Optional[int] = ..., rank_size: _Optional[int] = ..., group_rank: _Optional[int] = ..., group_size: _Optional[int] = ..., scheduler: _Optional[str] = ..., rank_table: _Optional[str] = ...) -> None: ...

class ModelFiles(_message.Message):
    __slots__ = ("key", "format", "paths", "with_batch_dim", "without_batch_dim_inputs", "max_batch_size", "options", "language")
    KEY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    WITH_BATCH_DIM_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_BATCH_DIM_INPUTS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    key: str
    format: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    with_batch_dim: bool
    without_batch_dim_inputs: _containers.RepeatedScalarFieldContainer[int]
    max_batch_size: int
    options: ModelOptions
    language: LanguageModel
    def __init__(self, key: _Optional[str] = ..., format: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ..., with_batch_dim: _Optional[bool] = ..., without_batch_dim_inputs: _Optional[_Iterable[int]] = ..., max_batch_size: _Optional[int] = ..., options: _Optional[_Union[ModelOptions, _Mapping]] = ..., language: _Optional[_Union[LanguageModel, _Mapping]] = ...) -> None: ...

class LanguageModel(_message.Message):
    __slots__ = ("prefill", "decode", "argmax", "topk", "block_size", "blocks", "tokenizer", "device_post_sampling", "decode_cores")
    PREFILL_FIELD_NUMBER: _ClassVar[int]
    DECODE_FIELD_NUMBER: _ClassVar[int]
    ARGMAX_FIELD_NUMBER: _ClassVar[int]
    TOPK_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FIELD_NUMBER: _ClassVar[int]
    DEVICE_POST_SAMPLING_FIELD_NUMBER: _ClassVar[int]
    DECODE_CORES_FIELD_NUMBER: _ClassVar[int]
    prefill: int
    decode: int
    argmax: bool
    topk: bool
    block_size: int
    blocks: int
    tokenizer: str
    device_post_sampling: bool
    decode_cores: int
    def __init__(self, prefill: _Optional[int] = ..., decode: _Optional[int] = ..., argmax: _Optional[bool] = ..., topk: _Optional[bool] = ..., block_size: _Optional[int] = ..., blocks: _Optional[int] = ..., tokenizer: _Optional[str] = ..., device_post_sampling: _Optional[bool] = ..., decode_cores: _Optional[int] = ...) -> None: ...

class ModelOptions(_message.Message):
    __slots__ = ("thread_num", "thread_affinity_core_list", "enable_parallel", "devices", "config_file", "cores")
    THREAD_NUM_FIELD_NUMBER: _ClassVar[int]
    THREAD_AFFINITY_CORE_LIST_FIELD_NUMBER: _ClassVar[int]
    ENABLE_PARALLEL_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FILE_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    thread_num: int
    thread_affinity_core_list: _containers.RepeatedScalarFieldContainer[int]
    enable_parallel: bool
    devices: _containers.RepeatedCompositeFieldContainer[DeviceOptions]
    config_file: str
    cores: int
    def __init__(self, thread_num: _Optional[int] = ..., thread_affinity_core_list: _Optional[_Iterable[int]] = ..., enable_parallel: _Optional[bool] = ..., devices: _Optional[_Iterable[_Union[DeviceOptions, _Mapping]]] = ..., config_file: _Optional[str] = ..., cores: _Optional[int] = ...) -> None: ...

class DeviceOptions(_message.Message):
    __slots__ = ("type", "values")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    type: str
    values: _containers.ScalarMap[str, str]
    def __init__(self, type: _Optional[str] = ..., values: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Holdings(_message.Message):
    __slots__ = ("holdings",)
    HOLDINGS_FIELD_NUMBER: _ClassVar[int]
    holdings: _containers.RepeatedCompositeFieldContainer[Holding]
    def __init__(self, holdings: _Optional[_Iterable[_Union[Holding, _Mapping]]] = ...) -> None: ...

class Holding(_message.Message):
    __slots__ = ("servable", "version", "state", "detail", "models", "epoch", "scheduler")
    SERVABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    servable: str
    version: int
    state: HoldingState
    detail: str
    models: _containers.RepeatedCompositeFieldContainer[ModelSignature]
    epoch: int
    scheduler: str
    def __init__(self, servable: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[HoldingState, str]] = ..., detail: _Optional[str] = ..., models: _Optional[_Iterable[_Union[ModelSignature, _Mapping]]] = ..., epoch: _Optional[int] = ..., scheduler: _Optional[str] = ...) -> None: ...

class ModelSignature(_message.Message):
    __slots__ = ("key", "subgraphs", "batch_size")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SUBGRAPHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    key: str
    subgraphs: _containers.RepeatedCompositeFieldContainer[SubgraphSignature]
    batch_size: int
    def __init__(self, key: _Optional[str] = ..., subgraphs: _Optional[_Iterable[_Union[SubgraphSignature, _Mapping]]] = ..., batch_size: _Optional[int] = ...) -> None: ...

class SubgraphSignature(_message.Message):
    __slots__ = ("inputs", "outputs")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorSpec]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorSpec]
    def __init__(self, inputs: _Optional[_Iterable[_Union[_tensor_pb2.TensorSpec, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_tensor_pb2.TensorSpec, _Mapping]]] = ...) -> None: ...
