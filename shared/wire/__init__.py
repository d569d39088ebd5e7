"""The translators: the only part of ``shared`` that knows gRPC and protobuf."""
