"""Where versions 1.1 to 1.4 had ``mindspore_serving.server.register``."""

from mindspore_serving.deprecation import say_deprecated
from mindspore_serving.server.context import AclOptions, GpuOptions
from mindspore_serving.server.register import (
    call_postprocess,
    call_postprocess_pipeline,
    call_preprocess,
    call_preprocess_pipeline,
    call_servable,
    declare_servable,
    register_method,
)

__all__ = [
    "AclOptions",
    "GpuOptions",
    "call_postprocess",
    "call_postprocess_pipeline",
    "call_preprocess",
    "call_preprocess_pipeline",
    "call_servable",
    "declare_servable",
    "register_method",
]

say_deprecated("mindspore_serving.worker.register", "1.3.0", "mindspore_serving.server.register")
