"""Tensors of a model: shape, type, and memory that the model reuses."""

from enum import Enum

import numpy as np


class DataType(Enum):
    UNKNOWN = 0
    BOOL = 30
    INT8 = 32
    INT16 = 33
    INT32 = 34
    INT64 = 35
    UINT8 = 37
    UINT16 = 38
    UINT32 = 39
    UINT64 = 40
    FLOAT16 = 42
    FLOAT32 = 43
    FLOAT64 = 44
    INVALID = 2147483647


def data_type(dtype):
    name = np.dtype(dtype).name.upper()
    return DataType.__members__.get(name, DataType.UNKNOWN)


class TensorMeta:
    """What is known of an output before there is one."""

    def __init__(self, name, dtype, shape):
        self.name, self.dtype, self.shape = name, dtype, shape


class Tensor:
    def __init__(self, slot=None):
        self._slot = slot or Slot("", DataType.FLOAT32, [])

    name = property(lambda self: self._slot.name)
    dtype = property(lambda self: self._slot.dtype)
    shape = property(lambda self: list(self._slot.shape))

    @property
    def data_size(self):
        return int(np.prod(self.shape)) * np.dtype(self.dtype.name.lower()).itemsize

    def set_data_from_numpy(self, numpy_obj):
        if not isinstance(numpy_obj, np.ndarray):
            raise TypeError(f"numpy_obj must be numpy.ndarray, but got {type(numpy_obj)}.")
        if data_type(numpy_obj.dtype) != self.dtype:
            given = numpy_obj.dtype.type
            raise RuntimeError(
                f"data type not equal! Numpy type: {given}, Tensor type: {self.dtype}"
            )
        if numpy_obj.nbytes != self.data_size:
            given = numpy_obj.nbytes
            raise RuntimeError(
                f"data size not equal! Numpy size: {given}, Tensor size: {self.data_size}"
            )
        self._slot.value = numpy_obj.reshape(self.shape)

    def get_data_to_numpy(self):
        return self._slot.value


class Slot:
    """One tensor's place in a model."""

    def __init__(self, name, dtype, shape):
        self.name, self.dtype, self.shape = name, dtype, shape
        self.value = None

    def fill(self, value):
        """Into the memory of the last time, where its shape allows."""
        if self.value is not None and self.value.shape == value.shape:
            np.copyto(self.value, value)
        else:
            self.value = np.array(value)
