"""Replies put together from blocks are what protobuf would have written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.ms_service import ms_service_pb2 as pb
from shared.tensors import ElementType
from shared.wire.predict_blocks import write_arrays

ARRAY_TYPES = [kind for kind in ElementType if kind < ElementType.STRING]
SHAPES = st.lists(st.integers(0, 40), max_size=3).map(tuple)
KINDS = st.lists(st.tuples(st.sampled_from(ARRAY_TYPES), SHAPES), min_size=1, max_size=3)


def filled(kind, shape, start):
    return np.arange(start, start + np.prod(shape, dtype=int)).reshape(shape).astype(kind.dtype)


def expected(names, instances):
    reply = pb.PredictReply(
        servable_spec=pb.ServableSpec(name="toy", method_name="predict", version_number=3)
    )
    for arrays in instances:
        instance = reply.instances.add()
        for name, array in zip(names, arrays, strict=True):
            tensor = instance.items[name]
            tensor.dtype = int(ElementType.of(array.dtype))
            tensor.shape.SetInParent()
            tensor.shape.dims.extend(array.shape)
            tensor.data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return reply


def written(names, instances):
    return pb.PredictReply.FromString(write_arrays("toy", "predict", 3, names, instances))


@given(KINDS, st.integers(1, 4))
def test_a_reply_reads_like_one_that_protobuf_wrote(kinds, count):
    names = tuple(f"output {n} é" for n in range(len(kinds)))
    instances = [
        tuple(filled(kind, shape, start) for kind, shape in kinds) for start in range(count)
    ]
    assert written(names, instances) == expected(names, instances)


@pytest.mark.parametrize("dims", [(2, 3), (70, 90)])
def test_arrays_of_any_order_are_written_row_by_row_and_little_endian(dims):
    array = np.arange(dims[0] * dims[1], dtype=np.float32).reshape(dims)
    for each in (array.T, np.asfortranarray(array), array[::-1], array.astype(">f4")):
        assert written(("y",), [(each,)]) == expected(("y",), [(each,)])


def test_a_dtype_without_a_number_is_named():
    with pytest.raises(ValueError, match="complex64"):
        write_arrays("toy", "predict", 3, ("y",), [(np.zeros(2, np.complex64),)])
