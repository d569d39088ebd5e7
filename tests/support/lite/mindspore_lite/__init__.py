"""A stand-in for the package ``mindspore_lite``: its documented interface, with toy models.

What callers may do, what they get and what is raised follow the pages of MindSpore Lite 2.x
(https://www.mindspore.cn/lite/api/en/master/mindspore_lite.html); a model file is JSON with the
name of a NumPy function, as for the reference backend. What ranks have to sum up they sum up, over
a socket. Nothing of the real library is in here.
"""

from mindspore_lite.context import Context
from mindspore_lite.group import ModelGroup, ModelGroupFlag
from mindspore_lite.model import Model, ModelType
from mindspore_lite.tensor import DataType, Tensor, TensorMeta

__all__ = [
    "Context",
    "DataType",
    "Model",
    "ModelGroup",
    "ModelGroupFlag",
    "ModelType",
    "Tensor",
    "TensorMeta",
]
