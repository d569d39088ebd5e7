"""What is asked of language models, to protobuf and back."""

from dataclasses import asdict
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from protos.serving.v1 import text_generation_pb2 as pb
from shared import text_generation as t
from shared.errors import InvalidRequest
from shared.wire.sampling_codec import read_sampling, several, write_sampling

SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["TextGeneration"].full_name
GENERATE_PATH = f"/{SERVICE_NAME}/Generate"
TOKENIZE_PATH = f"/{SERVICE_NAME}/Tokenize"
DETOKENIZE_PATH = f"/{SERVICE_NAME}/Detokenize"
LIST_MODELS_PATH = f"/{SERVICE_NAME}/ListModels"

Read = TypeVar("Read", bound=Message)


def _parse(kind: type[Read], message: bytes) -> Read:
    try:
        return kind.FromString(message)
    except DecodeError:
        raise InvalidRequest(f"the request is not a valid {kind.__name__} message") from None


def write_generate(request: t.GenerateRequest) -> bytes:
    """A request as bytes."""
    message = pb.GenerateRequest(
        model=request.model,
        version=request.version,
        sampling=write_sampling(request.sampling),
        max_new_tokens=request.max_new_tokens,
        stop=request.stop,
        include_stop=request.include_stop,
        ignore_eos=request.ignore_eos,
        n=request.n,
        skip_special_tokens=request.skip_special_tokens,
        priority=request.priority,
        cache_salt=request.cache_salt,
        truncate_prompt_tokens=request.truncate_prompt_tokens,
        details=request.details,
        prompt_details=request.prompt_details,
        add_special_tokens=request.add_special_tokens,
    )
    match request.prompt:
        case str(text):
            message.text = text
        case t.Chat() as chat:
            message.chat.CopyFrom(_write_chat(chat))
        case ids:
            message.token_ids.ids.extend(ids)
            message.token_ids.SetInParent()
    return message.SerializeToString()


def read_generate(message: bytes) -> t.GenerateRequest:
    """A request from bytes; raises InvalidRequest for what is none."""
    asked = _parse(pb.GenerateRequest, message)
    prompt: t.Prompt
    match asked.WhichOneof("prompt"):
        case "text":
            prompt = asked.text
        case "token_ids":
            prompt = several("token_ids", asked.token_ids.ids)
        case "chat":
            prompt = _read_chat(asked.chat)
        case _:
            raise InvalidRequest("prompt: expected a text, token ids or a chat, got none")
    return t.GenerateRequest(
        model=asked.model,
        prompt=prompt,
        version=asked.version,
        sampling=read_sampling(asked.sampling),
        max_new_tokens=asked.max_new_tokens if asked.HasField("max_new_tokens") else None,
        stop=tuple(asked.stop),
        include_stop=asked.include_stop,
        ignore_eos=asked.ignore_eos,
        n=asked.n or 1,
        skip_special_tokens=asked.skip_special_tokens,
        priority=asked.priority,
        cache_salt=asked.cache_salt,
        truncate_prompt_tokens=asked.truncate_prompt_tokens,
        details=asked.details,
        prompt_details=asked.prompt_details,
        add_special_tokens=_special_tokens(asked),
    )


def _special_tokens(asked: pb.GenerateRequest | pb.TokenizeRequest) -> bool | None:
    return asked.add_special_tokens if asked.HasField("add_special_tokens") else None


def _write_chat(chat: t.Chat) -> pb.Chat:
    return pb.Chat(**asdict(chat))


def _read_chat(asked: pb.Chat) -> t.Chat:
    return t.Chat(
        messages_json=asked.messages_json,
        tools_json=asked.tools_json,
        template_arguments_json=asked.template_arguments_json,
        continue_last=asked.continue_last,
        no_answer=asked.no_answer,
    )


def write_tokenize(request: t.TokenizeRequest) -> bytes:
    """A request as bytes."""
    message = pb.TokenizeRequest(
        model=request.model, version=request.version, add_special_tokens=request.add_special_tokens
    )
    if isinstance(request.prompt, str):
        message.text = request.prompt
    else:
        message.chat.CopyFrom(_write_chat(request.prompt))
    return message.SerializeToString()


def read_tokenize(message: bytes) -> t.TokenizeRequest:
    """A request from bytes; raises InvalidRequest for what is none."""
    asked = _parse(pb.TokenizeRequest, message)
    is_chat = asked.WhichOneof("prompt") == "chat"
    prompt = _read_chat(asked.chat) if is_chat else asked.text
    return t.TokenizeRequest(asked.model, prompt, asked.version, _special_tokens(asked))


def write_detokenize(request: t.DetokenizeRequest) -> bytes:
    """A request as bytes."""
    return pb.DetokenizeRequest(**asdict(request)).SerializeToString()


def read_detokenize(message: bytes) -> t.DetokenizeRequest:
    """A request from bytes; raises InvalidRequest for what is none."""
    asked = _parse(pb.DetokenizeRequest, message)
    return t.DetokenizeRequest(
        asked.model, several("ids", asked.ids), asked.version, asked.skip_special_tokens
    )
