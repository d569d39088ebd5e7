"""``python -m benchmarks.peers.servers.grpc_floor PORT``."""

import sys

import grpc
import numpy as np
import uvloop

from benchmarks.peers.servers.bench_model import after, before, parse, run
from protos.ms_service import ms_service_pb2 as pb


async def predict(
    request: pb.PredictRequest,
    context: grpc.aio.ServicerContext[pb.PredictRequest, pb.PredictReply],
) -> pb.PredictReply:
    """Every instance of the request in one call of the model."""
    rows = np.concatenate([parse(each.items["x"].data) for each in request.instances])
    reply = pb.PredictReply(servable_spec=request.servable_spec)
    for row in after(run(before(rows))):
        tensor = reply.instances.add().items["y"]
        tensor.dtype = pb.MS_FLOAT32
        tensor.shape.dims.append(len(row))
        tensor.data = row.tobytes()
    return reply


async def serve(port: int) -> None:
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        predict,
        request_deserializer=pb.PredictRequest.FromString,
        response_serializer=pb.PredictReply.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(
            "mindspore.serving.proto.MSService", {"Predict": handler}),)
    )  # fmt: skip
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
