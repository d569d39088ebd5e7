"""The client that MindSpore Serving's users know."""

import sys
from typing import Any, Self, overload

import grpc

from mindspore_serving.client.encoding import (
    Instances,
    Result,
    decode_reply,
    encode_request,
    is_refusal,
    raise_failures,
    rpc_failure_text,
)
from mindspore_serving.client.target import (
    CHANNEL_OPTIONS,
    SSLConfig,
    metadata_of,
    target_by_port,
    target_of,
)
from mindspore_serving.proto.ms_service_pb2_grpc import MSServiceStub
from protos.ms_service import ms_service_pb2 as pb


class ClientGrpcAsyncResult:
    """A request on its way."""

    def __init__(self, call: Any, instances_count: int, *, raise_on_error: bool = False) -> None:
        self._call = call
        self._instances_count = instances_count
        self._raise_on_error = raise_on_error

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the reply, at most ``timeout`` seconds.

        A request that the server refused gives ``{"error": text}``; a call that failed otherwise
        raises grpc.RpcError. Raises grpc.FutureTimeoutError when the wait is over first.
        """
        try:
            reply = self._call.result(timeout)
        except grpc.RpcError as failure:
            if self._raise_on_error or not is_refusal(failure):
                raise
            return _rpc_error(failure)
        return _results(reply, self._instances_count, raise_on_error=self._raise_on_error)


class ClientGrpcAsyncError:
    """A request that could not be sent."""

    def __init__(self, error: dict[str, Any]) -> None:
        self._error = error

    def result(self, timeout: float | None = None) -> Result:
        """The error, as ``infer`` would give it."""
        return self._error


class Client:
    """Calls one method of one servable.

    address: ``HOST:PORT`` or ``unix:PATH``. The form of versions 1.1 and 1.2,
    ``Client(ip, port, servable_name, method_name, version_number=0)``, works as well.
    version_number: 0 means the newest, or what the labels' weights at the server say.
    version_label: a label of the server (``"stable"``) in the place of a number.
    ssl_config: None for a plain connection.
    raise_on_error: raise instead of returning ``{"error": text}``: ServingRequestError for
    what the server refused, grpc.RpcError for a failed call.
    Raises RuntimeError for wrong arguments.
    """

    @overload
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
    ) -> None: ...
    @overload
    def __init__(
        self,
        ip: str,
        port: int,
        servable_name: str,
        method_name: str,
        version_number: int = 0,
        *,
        raise_on_error: bool = False,
        version_label: str | None = None,
    ) -> None: ...
    def __init__(self, *args: Any, raise_on_error: bool = False, **kwargs: Any) -> None:
        is_old = "port" in kwargs or (len(args) > 1 and isinstance(args[1], int))
        target = (target_by_port if is_old else target_of)(*args, **kwargs)
        self.address = target.address
        self.servable_name = target.servable_name
        self.method_name = target.method_name
        self.version_number = target.version_number
        self.version_label = target.version_label
        self._metadata = target.metadata
        self._raise_on_error = raise_on_error
        self.channel: grpc.Channel = (
            grpc.insecure_channel(target.address, options=CHANNEL_OPTIONS)
            if target.ssl_config is None
            else grpc.secure_channel(
                target.address, target.ssl_config.credentials(), options=CHANNEL_OPTIONS
            )
        )
        self.stub = MSServiceStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; requests on their way are cancelled."""
        self.channel.close()

    def infer(
        self, instances: Instances, timeout: float | None = None, *, priority: int | None = None
    ) -> Result:
        """Call the method for one instance (a dict) or several (list or tuple of dicts).

        Values: NumPy arrays and numbers, str, bytes, bool, int, float; a Python number
        travels as an array of shape (1,), dtype bool, int64 or float64.
        timeout: seconds; None waits as long as the server lets it.
        priority: the level at which the rows wait for a model, 1 is the highest; None is the
        model's default.
        Returns a dict of outputs per instance, in request order; ``{"error": text}`` in the
        place of an instance that failed; one such dict when the whole request failed.
        Raises RuntimeError for values that cannot be sent.
        """
        request, metadata = self._request(instances), self._metadata + metadata_of(priority)
        try:
            reply = self.stub.Predict(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as failure:
            if self._raise_on_error:
                raise
            return _rpc_error(failure)
        return _results(reply, len(request.instances), raise_on_error=self._raise_on_error)

    def infer_async(
        self, instances: Instances, timeout: float | None = None, *, priority: int | None = None
    ) -> ClientGrpcAsyncResult | ClientGrpcAsyncError:
        """Send like ``infer`` but do not wait: ``.result()`` of what this returns does.

        A failed call is raised by ``.result()`` as grpc.RpcError, unless the server refused it.
        """
        request, metadata = self._request(instances), self._metadata + metadata_of(priority)
        try:
            call = self.stub.Predict.future(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as failure:
            if self._raise_on_error:
                raise
            return ClientGrpcAsyncError(_rpc_error(failure))
        return ClientGrpcAsyncResult(
            call, len(request.instances), raise_on_error=self._raise_on_error
        )

    def _request(self, instances: Instances) -> pb.PredictRequest:
        spec = pb.ServableSpec(
            name=self.servable_name,
            method_name=self.method_name,
            version_number=self.version_number,
        )
        return encode_request(spec, instances)


def _results(reply: pb.PredictReply, instances_count: int, *, raise_on_error: bool) -> Result:
    results = decode_reply(reply, instances_count=instances_count)
    if raise_on_error:
        raise_failures(reply, results, instances_count=instances_count)
    return results


def _rpc_error(failure: grpc.RpcError) -> dict[str, Any]:
    text = rpc_failure_text(failure)
    print(text, file=sys.stderr)
    return {"error": text}
