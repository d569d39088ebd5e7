"""``MSService`` over grpcio: a stub for callers, a base for services, as its plug-in names them."""

from typing import Any, Protocol

import grpc

from protos.ms_service import ms_service_pb2 as pb

_SERVICE = "mindspore.serving.proto.MSService"


class MSServiceStub:
    """Calls MSService over a channel of grpcio, blocking or asyncio."""

    def __init__(self, channel: Any) -> None:
        self.Predict: Any = channel.unary_unary(
            f"/{_SERVICE}/Predict",
            request_serializer=pb.PredictRequest.SerializeToString,
            response_deserializer=pb.PredictReply.FromString,
        )


class MSServiceServicer:
    """What a server of MSService fills in."""

    def Predict(  # noqa: N802 (the contract's own name)
        self, request: pb.PredictRequest, context: grpc.ServicerContext
    ) -> pb.PredictReply:
        """One request, one reply."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not implemented!")


class _Server(Protocol):
    def add_generic_rpc_handlers(self, handlers: tuple[grpc.GenericRpcHandler, ...]) -> None: ...


def add_MSServiceServicer_to_server(  # noqa: N802 (the plug-in's own name)
    servicer: MSServiceServicer, server: _Server
) -> None:
    """Have a server of grpcio answer with ``servicer``."""
    predict = grpc.unary_unary_rpc_method_handler(
        servicer.Predict,
        request_deserializer=pb.PredictRequest.FromString,
        response_serializer=pb.PredictReply.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler(_SERVICE, {"Predict": predict})
    server.add_generic_rpc_handlers((handler,))
