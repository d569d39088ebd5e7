"""The same client for asyncio programs."""

from typing import Self

import grpc
import grpc.aio

from mindspore_serving.client.encoding import (
    Instances,
    Result,
    decode_reply,
    encode_request,
    raise_failures,
    rpc_failure_text,
)
from mindspore_serving.client.target import (
    CHANNEL_OPTIONS,
    PREDICT_PATH,
    SSLConfig,
    metadata_of,
    target_of,
)
from protos.ms_service import ms_service_pb2 as pb


class AsyncClient:
    """Calls one method of one servable; arguments and results are those of ``Client``.

    Create it inside a running event loop, best with ``async with``.
    """

    def __init__(
        self,
        address: str,
        servable_name: str,
        method_name: str,
        version_number: int = 0,
        ssl_config: SSLConfig | None = None,
        *,
        raise_on_error: bool = False,
        version_label: str | None = None,
    ) -> None:
        target = target_of(
            address, servable_name, method_name, version_number, ssl_config,
            version_label=version_label,
        )  # fmt: skip
        self.address = target.address
        self.servable_name = target.servable_name
        self.method_name = target.method_name
        self.version_number = target.version_number
        self.version_label = target.version_label
        self._metadata = target.metadata
        self._spec = target.spec()
        self._raise_on_error = raise_on_error
        self.channel: grpc.aio.Channel = (
            grpc.aio.insecure_channel(target.address, options=CHANNEL_OPTIONS)
            if target.ssl_config is None
            else grpc.aio.secure_channel(
                target.address, target.ssl_config.credentials(), options=CHANNEL_OPTIONS
            )
        )
        self._predict: grpc.aio.UnaryUnaryMultiCallable[pb.PredictRequest, pb.PredictReply] = (
            self.channel.unary_unary(
                PREDICT_PATH,
                request_serializer=pb.PredictRequest.SerializeToString,
                response_deserializer=pb.PredictReply.FromString,
            )
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; requests on their way are cancelled."""
        await self.channel.close()

    async def infer(
        self,
        instances: Instances,
        timeout: float | None = None,  # noqa: ASYNC109 (the servers hear of it: it is the deadline)
        *,
        priority: int | None = None,
    ) -> Result:
        """Call the method, as ``Client.infer`` does; cancelling it cancels the request."""
        request = encode_request(self._spec, instances)
        metadata = self._metadata + metadata_of(priority)
        try:
            reply = await self._predict(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as failure:
            if self._raise_on_error:
                raise
            return {"error": rpc_failure_text(failure)}
        results = decode_reply(reply, instances_count=len(request.instances))
        if self._raise_on_error:
            raise_failures(reply, results, instances_count=len(request.instances))
        return results
