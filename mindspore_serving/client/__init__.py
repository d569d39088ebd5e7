"""Calls methods of servables: ``Client``, ``AsyncClient``, ``SSLConfig``."""

from mindspore_serving.client.asynchronous import AsyncClient
from mindspore_serving.client.client import Client
from mindspore_serving.client.encoding import ServingRequestError
from mindspore_serving.client.target import SSLConfig

__all__ = ["AsyncClient", "Client", "SSLConfig", "ServingRequestError"]
