"""JSON values as tensors and back, and every fault of the original's table."""

import base64

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from services.master.rest.values import read_value, write_value
from shared.errors import InvalidRequest
from shared.tensors import ElementType


def b64(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (1, "int32", ()),
        (-(2**31), "int32", ()),
        (2**31 - 1, "int32", ()),
        (1.5, "float32", ()),
        (True, "bool", ()),
        ([1], "int32", (1,)),
        ([[1, 2], [3, 4], [5, 6]], "int32", (3, 2)),
        ([1.0, 2.5], "float32", (2,)),
        ([[[True]], [[False]]], "bool", (2, 1, 1)),
    ],
)
def test_numbers_and_lists(value, dtype, shape):
    array = read_value(value)
    assert (array.dtype.name, array.shape) == (dtype, shape)
    assert array.tolist() == value


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (["a"], "a"), ([{"b64": "AQI="}], b"\1\2")]
)
def test_text_and_bytes(value, text):
    assert read_value(value) == text


@pytest.mark.parametrize("name", [*(k.name.lower() for k in list(ElementType)[:12])])
def test_base64_of_every_type(name):
    array = np.ones((2, 3), name)
    packed = {"b64": b64(array.tobytes()), "type": name, "shape": [2, 3]}
    assert np.array_equal(read_value(packed), array)
    assert read_value(packed).dtype == array.dtype


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp16", "float16"), ("fp32", "float32"), ("fp64", "float64")]
)
def test_base64_knows_short_names_of_reals(name, dtype):
    assert read_value({"b64": b64(np.zeros(1, dtype).tobytes()), "type": name}).dtype == dtype


def test_base64_text_bytes_scalars_and_empty_arrays():
    assert read_value({"b64": b64("h\xe9".encode()), "type": "str"}) == "h\xe9"
    assert read_value({"b64": b64(b"\xff"), "type": "bytes", "shape": [1]}) == b"\xff"
    assert read_value({"b64": b64(b"\xff")}) == b"\xff"
    assert read_value({"b64": b64(b"\1\0\0\0"), "type": "int32"}).shape == ()
    assert read_value({"b64": "", "type": "int32", "shape": [3, 0]}).shape == (3, 0)


ONE = b64(b"\1")
FAULTS = [
    ([], "json array, shape is empty"),
    ([[]], "json array, shape is empty"),
    ([[[], []]], "json array, shape is empty"),
    ([1, 2.0], "json array, elements type is not equal"),
    ([1, True], "json array, elements type is not equal"),
    ([1, "a"], "json array, elements type is not equal"),
    ([1, None], "json array, elements type is not equal"),
    ([1, [2]], "json array, elements type is not equal"),
    ([None], "json array, data should be number, bool, string or bytes"),
    ([[None, 1]], "json array, data should be number, bool, string or bytes"),
    ([{"b64": ONE, "type": "int8"}], "json array, data should be number, bool, string or bytes"),
    ([[1], 2], "invalid json array: json type is not array"),
    ([[[1]], [2]], "invalid json array: json type is not array"),
    ([[1, 2], [3]], "invalid json array: json size is 1, the dim 1 expected to be 2"),
    ([[[1, 2]], [[3]]], "invalid json array: json size is 1, the dim 2 expected to be 2"),
    ([[1], []], "invalid json array: json size is 0, the dim 1 expected to be 1"),
    (["a", "b"], "json array, string or bytes type only support one item"),
    ([{"b64": ONE}, {"b64": ONE}], "json array, string or bytes type only support one item"),
    (
        [["a"]],
        "Instance tensor check failed: bytes or string type input  shape can only be (1,) or"
        " empty, but given shape is [1, 1]",
    ),
    ({}, "'b64' should be specified only one time"),
    ({"type": "int8"}, "'b64' should be specified only one time"),
    ({"b64": ONE, "kind": 1}, "key is not ['b64','type','shape']"),
    ({"b64": 1}, "get scalar data failed, type is string, but json is not string type"),
    ({"b64": None}, "get scalar data failed, type is string, but json is not string type"),
    ({"b64": "a"}, "'a' is illegal b64 encode string"),
    ({"b64": "=*=="}, "'=*==' is illegal b64 encode string"),
    ({"b64": "\xe9"}, "'\xe9' is illegal b64 encode string"),
    ({"b64": ONE, "type": "int"}, "json object, specified type:'int' is illegal"),
    ({"b64": ONE, "type": ""}, "json object, specified type:'' is illegal"),
    ({"b64": ONE, "type": 1}, "json object, key is 'type', value should be string type"),
    ({"b64": ONE, "type": None}, "json object, key is 'type', value should be string type"),
    *(
        (
            {"b64": ONE, "type": "int8", "shape": [dim]},
            "json object, key is 'shape', array value should be unsigned integer",
        )
        for dim in (-1, 1.0, "1", None, True)
    ),
    (
        {"b64": ONE, "type": "int8", "shape": 1},
        "json object, key is 'shape', value should be array",
    ),
    (
        {"b64": "", "type": "int8", "shape": [0, 1]},
        "json object, key is 'shape', invalid shape value",
    ),
    (
        {"b64": "", "type": "int8", "shape": [2**70, 0]},
        "json object, key is 'shape', invalid shape",
    ),
    ({"b64": ONE, "type": "int8", "shape": [1] * 33}, "json object, key is 'shape', invalid shape"),
    (None, "json value is null, it is not supported"),
    (
        {"b64": ONE, "type": "str", "shape": [2]},
        "json object, only support scalar when data type is string or bytes, please check 'type'"
        " or 'shape'",
    ),
    ({"b64": ONE, "shape": [0]}, "json object, only support scalar when data type is string"),
    (
        {"b64": ONE, "type": "str", "shape": [1, 1]},
        "Instance tensor check failed: bytes or string type input  shape can only be (1,) or"
        " empty, but given shape is [1, 1]",
    ),
    ({"b64": b64(b"\xff"), "type": "str"}, "text is not UTF-8 at byte 0"),
    (
        {"b64": "", "type": "float16"},
        "size is not matched, decode base64 size:0; Given info: type:float16; type size:2;"
        " element nums:1",
    ),
    (2**31, "json number 2147483648 is out of range of int32"),
    ([1, -(2**31) - 1], "json number -2147483649 is out of range of int32"),
    ([2**64 - 1], "json number 18446744073709551615 is out of range of int32"),
    (1e39, "json number 1e+39 is out of range of float32"),
    ([0.0, -1e39], "json number -1e+39 is out of range of float32"),
]


@pytest.mark.parametrize(("value", "fault"), FAULTS)
def test_faults_in_the_originals_words(value, fault):
    with pytest.raises(InvalidRequest) as raised:
        read_value(value)
    assert raised.value.message.startswith(fault)
    assert len(raised.value.message) < 300


def test_a_list_deeper_than_arrays_are_is_refused():
    value = 1
    for _ in range(33):
        value = [value]
    with pytest.raises(InvalidRequest, match="expected at most 32 dims"):
        read_value(value)
    assert read_value(value[0]).ndim == 32


def test_a_fault_far_back_in_a_long_list_is_found():
    numbers = [0.5] * 200_000
    assert read_value(numbers).shape == (200_000,)
    with pytest.raises(InvalidRequest, match="type is not equal"):
        read_value([*numbers, 1])
    with pytest.raises(InvalidRequest, match=r"1e\+39"):
        read_value([*numbers, 1e39])


KINDS = st.sampled_from(["int8", "uint8", "int16", "int32", "float32", "bool"])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, max_side=4)


@given(KINDS.flatmap(lambda kind: hnp.arrays(kind, SHAPES)))
def test_what_is_written_reads_back(array):
    text = orjson.dumps(write_value(array), option=orjson.OPT_SERIALIZE_NUMPY)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        assert b"null" in text
        return
    back = read_value(orjson.loads(text))
    assert back.shape == array.shape
    assert np.array_equal(back, array)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.1).reshape(()), b"0.1"),
        (np.array(7, np.uint64), b"7"),
        (np.array(1.5, np.float16), b"1.5"),
        (np.array([np.nan, np.inf, -np.inf], np.float32), b"[null,null,null]"),
        (np.array(np.nan), b"null"),
        (np.zeros((0,), np.int8), b"[]"),
        (np.zeros((1, 0), np.int8), b"[[]]"),
        (np.array([True, False]), b"[true,false]"),
        ("text", b'"text"'),
        (b"\1\2", b'{"b64":"AQI="}'),
        (b"", b'{"b64":""}'),
    ],
)
def test_tensors_as_json(value, text):
    assert orjson.dumps(write_value(value), option=orjson.OPT_SERIALIZE_NUMPY) == text


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["b64", "type", "shape", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_tensor_or_refused(value):
    try:
        assert isinstance(read_value(value), np.ndarray | str | bytes)
    except InvalidRequest as fault:
        assert fault.message
