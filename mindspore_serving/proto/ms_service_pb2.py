"""``PredictRequest``, ``PredictReply`` and what they are made of."""

from protos.ms_service.ms_service_pb2 import *  # noqa: F403 (protoc's names: a module lists them)
from protos.ms_service.ms_service_pb2 import DESCRIPTOR as DESCRIPTOR
