from protos.serving.v1 import exchange_pb2 as _exchange_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Step(_message.Message):
    __slots__ = ("id", "forget", "stores", "freed", "starts", "prefills", "decode", "told", "compares", "exports", "imports")
    ID_FIELD_NUMBER: _ClassVar[int]
    FORGET_FIELD_NUMBER: _ClassVar[int]
    STORES_FIELD_NUMBER: _ClassVar[int]
    FREED_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    PREFILLS_FIELD_NUMBER: _ClassVar[int]
    DECODE_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    COMPARES_FIELD_NUMBER: _ClassVar[int]
    EXPORTS_FIELD_NUMBER: _ClassVar[int]
    IMPORTS_FIELD_NUMBER: _ClassVar[int]
    id: int
    forget: bool
    stores: _containers.RepeatedCompositeFieldContainer[StoreBlock]
    freed: _containers.RepeatedScalarFieldContainer[int]
    starts: _containers.RepeatedCompositeFieldContainer[Start]
    prefills: _containers.RepeatedCompositeFieldContainer[Forward]
    decode: Forward
    told: _containers.RepeatedCompositeFieldContainer[Chosen]
    compares: bool
    exports: _containers.RepeatedCompositeFieldContainer[Export]
    imports: _containers.RepeatedCompositeFieldContainer[Import]
    def __init__(self, id: _Optional[int] = ..., forget: _Optional[bool] = ..., stores: _Optional[_Iterable[_Union[StoreBlock, _Mapping]]] = ..., freed: _Optional[_Iterable[int]] = ..., starts: _Optional[_Iterable[_Union[Start, _Mapping]]] = ..., prefills: _Optional[_Iterable[_Union[Forward, _Mapping]]] = ..., decode: _Optional[_Union[Forward, _Mapping]] = ..., told: _Optional[_Iterable[_Union[Chosen, _Mapping]]] = ..., compares: _Optional[bool] = ..., exports: _Optional[_Iterable[_Union[Export, _Mapping]]] = ..., imports: _Optional[_Iterable[_Union[Import, _Mapping]]] = ...) -> None: ...

class Export(_message.Message):
    __slots__ = ("slot", "position", "count", "region")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    slot: int
    position: int
    count: int
    region: _exchange_pb2.Region
    def __init__(self, slot: _Optional[int] = ..., position: _Optional[int] = ..., count: _Optional[int] = ..., region: _Optional[_Union[_exchange_pb2.Region, _Mapping]] = ...) -> None: ...

class Import(_message.Message):
    __slots__ = ("slot", "position", "count", "data", "region")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    slot: int
    position: int
    count: int
    data: bytes
    region: _exchange_pb2.Region
    def __init__(self, slot: _Optional[int] = ..., position: _Optional[int] = ..., count: _Optional[int] = ..., data: _Optional[bytes] = ..., region: _Optional[_Union[_exchange_pb2.Region, _Mapping]] = ...) -> None: ...

class Start(_message.Message):
    __slots__ = ("slot", "tokens", "blocks", "prompt_tokens", "adapter", "sampling")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    slot: int
    tokens: _containers.RepeatedScalarFieldContainer[int]
    blocks: _containers.RepeatedScalarFieldContainer[int]
    prompt_tokens: int
    adapter: int
    sampling: Sampling
    def __init__(self, slot: _Optional[int] = ..., tokens: _Optional[_Iterable[int]] = ..., blocks: _Optional[_Iterable[int]] = ..., prompt_tokens: _Optional[int] = ..., adapter: _Optional[int] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias", "seed", "min_tokens", "stop_ids", "logprobs", "prompt_logprobs", "allowed_ids", "grammar")
    class LogitBiasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    MIN_P_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_PENALTY_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_PENALTY_FIELD_NUMBER: _ClassVar[int]
    LOGIT_BIAS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MIN_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STOP_IDS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_IDS_FIELD_NUMBER: _ClassVar[int]
    GRAMMAR_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: _containers.ScalarMap[int, float]
    seed: int
    min_tokens: int
    stop_ids: _containers.RepeatedScalarFieldContainer[int]
    logprobs: int
    prompt_logprobs: int
    allowed_ids: _containers.RepeatedScalarFieldContainer[int]
    grammar: Grammar
    def __init__(self, temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., min_p: _Optional[float] = ..., repetition_penalty: _Optional[float] = ..., presence_penalty: _Optional[float] = ..., frequency_penalty: _Optional[float] = ..., logit_bias: _Optional[_Mapping[int, float]] = ..., seed: _Optional[int] = ..., min_tokens: _Optional[int] = ..., stop_ids: _Optional[_Iterable[int]] = ..., logprobs: _Optional[int] = ..., prompt_logprobs: _Optional[int] = ..., allowed_ids: _Optional[_Iterable[int]] = ..., grammar: _Optional[_Union[Grammar, _Mapping]] = ...) -> None: ...

class Grammar(_message.Message):
    __slots__ = ("json_schema", "regex", "choices", "any_json")
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    ANY_JSON_FIELD_NUMBER: _ClassVar[int]
    json_schema: str
    regex: str
    choices: Choices
    any_json: bool
    def __init__(self, json_schema: _Optional[str] = ..., regex: _Optional[str] = ..., choices: _Optional[_Union[Choices, _Mapping]] = ..., any_json: _Optional[bool] = ...) -> None: ...

class Choices(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ...) -> None: ...

class Forward(_message.Message):
    __slots__ = ("graph", "rows")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    graph: int
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    def __init__(self, graph: _Optional[int] = ..., rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("slot", "position", "count", "speculated", "samples")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SPECULATED_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    slot: int
    position: int
    count: int
    speculated: _containers.RepeatedScalarFieldContainer[int]
    samples: bool
    def __init__(self, slot: _Optional[int] = ..., position: _Optional[int] = ..., count: _Optional[int] = ..., speculated: _Optional[_Iterable[int]] = ..., samples: _Optional[bool] = ...) -> None: ...

class StoreBlock(_message.Message):
    __slots__ = ("slot", "index", "block")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    slot: int
    index: int
    block: int
    def __init__(self, slot: _Optional[int] = ..., index: _Optional[int] = ..., block: _Optional[int] = ...) -> None: ...

class StepOutcome(_message.Message):
    __slots__ = ("id", "chosen", "device_seconds", "likeliest", "exported")
    ID_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    DEVICE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LIKELIEST_FIELD_NUMBER: _ClassVar[int]
    EXPORTED_FIELD_NUMBER: _ClassVar[int]
    id: int
    chosen: _containers.RepeatedCompositeFieldContainer[Chosen]
    device_seconds: float
    likeliest: _containers.RepeatedScalarFieldContainer[int]
    exported: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, id: _Optional[int] = ..., chosen: _Optional[_Iterable[_Union[Chosen, _Mapping]]] = ..., device_seconds: _Optional[float] = ..., likeliest: _Optional[_Iterable[int]] = ..., exported: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Chosen(_message.Message):
    __slots__ = ("slot", "tokens", "logprobs", "prompt_logprobs", "failure", "complete")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    slot: int
    tokens: _containers.RepeatedScalarFieldContainer[int]
    logprobs: _containers.RepeatedCompositeFieldContainer[TokenLogprobs]
    prompt_logprobs: _containers.RepeatedCompositeFieldContainer[TokenLogprobs]
    failure: str
    complete: bool
    def __init__(self, slot: _Optional[int] = ..., tokens: _Optional[_Iterable[int]] = ..., logprobs: _Optional[_Iterable[_Union[TokenLogprobs, _Mapping]]] = ..., prompt_logprobs: _Optional[_Iterable[_Union[TokenLogprobs, _Mapping]]] = ..., failure: _Optional[str] = ..., complete: _Optional[bool] = ...) -> None: ...

class TokenLogprobs(_message.Message):
    __slots__ = ("logprob", "rank", "ids", "logprobs")
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    logprob: float
    rank: int
    ids: _containers.RepeatedScalarFieldContainer[int]
    logprobs: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, logprob: _Optional[float] = ..., rank: _Optional[int] = ..., ids: _Optional[_Iterable[int]] = ..., logprobs: _Optional[_Iterable[float]] = ...) -> None: ...
