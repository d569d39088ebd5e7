"""A client stub built from the original's field table, not from our .proto file.

The table is the public client protocol of MindSpore Serving 1.3 to 2.0: message,
field, number, type.
"""

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from protos.ms_service import ms_service_pb2

PACKAGE = "mindspore.serving.proto"
TABLE = {
    "PredictRequest": {"servable_spec": (1, "ServableSpec"), "instances": (2, "Instance*")},
    "ErrorMsg": {"error_code": (1, "int64"), "error_msg": (2, "bytes")},
    "PredictReply": {
        "servable_spec": (1, "ServableSpec"),
        "instances": (3, "Instance*"),
        "error_msg": (4, "ErrorMsg*"),
    },
    "Instance": {"items": (1, "map Tensor"), "output_buffers": (2, "map ShmTensorData")},
    "TensorShape": {"dims": (1, "int64*")},
    "ShmTensorData": {
        "memory_key": (1, "string"),
        "bytes_size": (2, "uint64"),
        "data_offset": (3, "uint64"),
        "data_size": (4, "uint64"),
    },
    "Tensor": {
        "shape": (1, "TensorShape"),
        "dtype": (2, "DataType"),
        "data": (3, "bytes|tensor_data"),
        "shm_data": (5, "ShmTensorData|tensor_data"),
        "bytes_val": (4, "bytes*"),
    },
    "ServableSpec": {
        "name": (1, "string"),
        "method_name": (2, "string"),
        "version_number": (3, "uint64"),
    },
    "PingRequest": {"address": (1, "string")},
    "PingReply": {"address": (1, "string")},
    "PongRequest": {"address": (1, "string")},
    "PongReply": {"address": (1, "string")},
    "TensorInfo": {
        "shape": (1, "TensorShape"),
        "dtype": (2, "DataType"),
        "size": (3, "uint64"),
        "is_no_batch_dim": (4, "bool"),
    },
}
TYPES = [
    "UNKNOWN", "BOOL", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64",
    "FLOAT16", "FLOAT32", "FLOAT64", "STRING", "BYTES",
]  # fmt: skip
Field = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "int64": Field.TYPE_INT64,
    "uint64": Field.TYPE_UINT64,
    "bytes": Field.TYPE_BYTES,
    "string": Field.TYPE_STRING,
    "bool": Field.TYPE_BOOL,
}


def add_field(message, name, number, kind):
    kind, _, oneof = kind.partition("|")
    repeated = kind.endswith("*") or kind.startswith("map ")
    field = message.field.add(
        name=name, number=number, label=Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
    )
    kind = kind.rstrip("*")
    if oneof:
        if not message.oneof_decl:
            message.oneof_decl.add(name=oneof)
        field.oneof_index = 0
    if kind.startswith("map "):
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        add_field(entry, "key", 1, "string")
        add_field(entry, "value", 2, kind.removeprefix("map "))
        field.type = Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{message.name}.{entry.name}"
    elif kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        field.type = Field.TYPE_ENUM if kind == "DataType" else Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"


@pytest.fixture(scope="module")
def original():
    """Message classes by name, as a client generated from the original's file has them."""
    file = descriptor_pb2.FileDescriptorProto(
        name="original.proto", package=PACKAGE, syntax="proto3"
    )
    kinds = file.enum_type.add(name="DataType")
    for number, name in enumerate(TYPES):
        kinds.value.add(name=f"MS_{name}", number=number)
    for name, fields in TABLE.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in TABLE
    }


def request_of(original, rows, method="double"):
    request = original["PredictRequest"]()
    request.servable_spec.name = "toy"
    request.servable_spec.method_name = method
    for row in rows:
        tensor = request.instances.add().items["x"]
        tensor.dtype = TYPES.index("FLOAT32")
        tensor.shape.dims.append(len(row))
        tensor.data = np.array(row, "<f4").tobytes()
    return request


def predict(stack, original, request):
    with grpc.insecure_channel(stack.front) as channel:
        call = channel.unary_unary(
            f"/{PACKAGE}.MSService/Predict",
            request_serializer=original["PredictRequest"].SerializeToString,
            response_deserializer=original["PredictReply"].FromString,
        )
        return call(request, timeout=20)


def test_a_stub_of_the_field_table_gets_answers(stack, original):
    reply = predict(stack, original, request_of(original, [[1, 2], [3, 4]]))
    assert not reply.error_msg
    assert reply.servable_spec.name == "toy"
    got = [instance.items["y"] for instance in reply.instances]
    assert [list(tensor.shape.dims) for tensor in got] == [[2], [2]]
    assert [tensor.dtype for tensor in got] == [TYPES.index("FLOAT32")] * 2
    assert [np.frombuffer(tensor.data, "<f4").tolist() for tensor in got] == [[2, 4], [6, 8]]


def test_errors_arrive_in_the_fields_of_the_table(stack, original):
    reply = predict(stack, original, request_of(original, [[1, 2]], method="nothing"))
    (error,) = reply.error_msg
    assert error.error_code == 2
    assert b"Request servable(toy) method(nothing) , method is not available" in error.error_msg


def test_each_instance_has_an_error_of_its_own_or_all_of_them_one(stack, original):
    some = predict(stack, original, request_of(original, [[1, 2], [-1, 0], [-2, 0]], "positive"))
    assert [each.error_code for each in some.error_msg] == [0, 1, 1]
    assert [b"is negative" in each.error_msg for each in some.error_msg] == [False, True, True]
    assert [sorted(each.items) for each in some.instances] == [["x", "y"], [], []]
    alike = predict(stack, original, request_of(original, [[-1, 0], [-1, 5]], "positive"))
    (error,) = alike.error_msg
    assert b"-1.0 is negative" in error.error_msg
    assert not alike.instances
    different = predict(stack, original, request_of(original, [[-1, 0], [-2, 0]], "positive"))
    assert len(different.error_msg) == len(different.instances) == 2


def test_every_field_of_the_table_is_ours_with_its_number_and_type(original):
    for name, fields in TABLE.items():
        ours = ms_service_pb2.DESCRIPTOR.message_types_by_name[name]
        theirs = original[name].DESCRIPTOR
        assert {field.name for field in ours.fields} == set(fields), name
        for field in ours.fields:
            other = theirs.fields_by_name[field.name]
            assert (field.number, field.type, field.is_repeated) == (
                other.number,
                other.type,
                other.is_repeated,
            ), f"{name}.{field.name}"
    numbers = ms_service_pb2.DESCRIPTOR.enum_types_by_name["DataType"].values_by_number
    assert [numbers[number].name for number in sorted(numbers)] == [f"MS_{each}" for each in TYPES]


@pytest.mark.parametrize("field", ["shm_data", "output_buffers"])
def test_a_request_may_not_name_shared_memory(stack, original, field):
    request = request_of(original, [[1, 2]])
    if field == "shm_data":
        request.instances[0].items["x"].shm_data.memory_key = "anything"
    else:
        request.instances[0].output_buffers["y"].memory_key = "anything"
    (error,) = predict(stack, original, request).error_msg
    assert error.error_code == 2
    assert b"may not name shared memory" in error.error_msg


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": 0}, b"input data type 0 invalid"),
        ({"dtype": 99}, b"input data type 99 invalid"),
        ({"dims": [-1]}, b"Tensor check failed: input  shape [-1] invalid"),
        ({"dims": [0, 2]}, b"Tensor check failed: input  shape [0, 2] invalid"),
        ({"dims": [3]}, b"Tensor check failed: input data size 8 invalid"),
        ({"dims": [2**62, 2**62]}, b"Tensor check failed: input data size 8 invalid"),
        ({"dtype": 13}, b"bytes or string type shape batch size can only be 1"),
        (
            {"dtype": 14, "bytes_val": [b"a"], "dims": [1, 1]},
            b"bytes or string type input  shape can only be (1,) or empty,"
            b" but given shape is [1, 1]",
        ),
        ({"dtype": 13, "bytes_val": [b"\xff"], "dims": []}, b"text is not UTF-8 at byte 0"),
    ],
)
def test_what_is_wrong_with_a_tensor_is_said_in_the_originals_words(
    stack, original, change, reason
):
    """Beside a good one too: what no tensor is refuses the request."""
    request = request_of(original, [[3, 4], [1, 2]])
    tensor = request.instances[1].items["x"]
    for field, value in change.items():
        if field == "dtype":
            tensor.dtype = value
        elif field == "dims":
            del tensor.shape.dims[:]
            tensor.shape.dims.extend(value)
        else:
            tensor.bytes_val.extend(value)
    (error,) = predict(stack, original, request).error_msg
    assert error.error_code == 2
    assert error.error_msg.startswith(b"Instances input x check failed, detail: ")
    assert reason in error.error_msg


def test_a_missing_input_is_named_and_surplus_ones_are_ignored(stack, original):
    request = request_of(original, [[1, 2]])
    request.instances[0].items["surplus"].CopyFrom(request.instances[0].items["x"])
    assert not predict(stack, original, request).error_msg
    del request.instances[0].items["x"]
    (error,) = predict(stack, original, request).error_msg
    assert error.error_msg == (
        b"Cannot find input x in instance input , servable toy, method double"
    )


def test_bytes_that_are_no_request_are_refused(stack):
    with grpc.insecure_channel(stack.front) as channel:
        call = channel.unary_unary(f"/{PACKAGE}.MSService/Predict")
        reply = ms_service_pb2.PredictReply.FromString(call(b"\xff\xff\xff", timeout=20))
        assert b"not a valid PredictRequest" in reply.error_msg[0].error_msg
        head = ms_service_pb2.PredictRequest(
            servable_spec=ms_service_pb2.ServableSpec(name="toy", method_name="double")
        ).SerializeToString()
        reply = ms_service_pb2.PredictReply.FromString(call(head + b"\x12\x05abc", timeout=20))
        assert b"not a valid PredictRequest" in reply.error_msg[0].error_msg
