"""Calls methods of servables, and language models.

``Client``, ``AsyncClient``, ``SSLConfig``; ``MindsporeInferenceClient``.
"""

from mindspore_serving.client.asynchronous import AsyncClient
from mindspore_serving.client.client import Client
from mindspore_serving.client.encoding import ServingRequestError
from mindspore_serving.client.target import SSLConfig
from mindspore_serving.client.text import MindsporeInferenceClient

__all__ = ["AsyncClient", "Client", "MindsporeInferenceClient", "SSLConfig", "ServingRequestError"]
