"""Every name that scripts of the original import, with its parameters and defaults."""

import importlib
import inspect

import pytest

REGISTER = [
    *("declare_model", "Model", "AscendDeviceInfo", "CPUDeviceInfo", "GPUDeviceInfo", "Context"),
    *("register_method", "add_stage"),
]
DISTRIBUTED = ["start_servable", "startup_agents", "declare_servable"]
STARTS = [
    *("start_grpc_server", "start_restful_server", "stop", "start_servables"),
    *("ServableStartConfig", "SSLConfig"),
]
OLD_REGISTER = [
    *("declare_servable", "register_method", "call_preprocess", "call_preprocess_pipeline"),
    *("call_servable", "call_postprocess", "call_postprocess_pipeline", "AclOptions", "GpuOptions"),
]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("mindspore_serving", ["__version__", "log"]),
        ("mindspore_serving.client", ["Client", "MindsporeInferenceClient", "SSLConfig"]),
        ("mindspore_serving.agent.agent_multi_post_method", ["startup_agents"]),
        ("mindspore_serving.config.config", ["ServingConfig", "check_valid_config"]),
        (
            "mindspore_serving.log",
            ["get_level", "get_log_config", "debug", "info", "warning", "error"],
        ),
        (
            "mindspore_serving.server",
            [*STARTS, *REGISTER, *DISTRIBUTED, "register", "distributed", "master"],
        ),
        ("mindspore_serving.server.master", ["context"]),
        ("mindspore_serving.server.master.context", ["set_max_enqueued_requests"]),
        (
            "mindspore_serving.server.register",
            [*REGISTER, *OLD_REGISTER, "register_pipeline", "PipelineServable"],
        ),
        ("mindspore_serving.server.distributed", DISTRIBUTED),
        ("mindspore_serving.server._servable_local", ["merge_config"]),
        (
            "mindspore_serving.master",
            ["start_grpc_server", "start_restful_server", "start_master_server", "stop", "context"],
        ),
        ("mindspore_serving.master.context", ["set_max_enqueued_requests"]),
        (
            "mindspore_serving.worker",
            [
                "start_servable",
                "start_servable_in_master",
                "stop",
                "register",
                "distributed",
                "context",
            ],
        ),
        ("mindspore_serving.worker.register", OLD_REGISTER),
        (
            "mindspore_serving.worker.distributed",
            [
                *("declare_distributed_servable", "start_distributed_servable"),
                *("start_distributed_servable_in_master", "startup_worker_agents"),
            ],
        ),
        ("mindspore_serving.worker.context", ["set_context"]),
        (
            "mindspore_serving.proto.ms_service_pb2",
            [
                *("PredictRequest", "PredictReply", "ErrorMsg", "Instance", "TensorShape"),
                *("ShmTensorData", "Tensor", "ServableSpec", "TensorInfo", "DataType"),
                *("PingRequest", "PingReply", "PongRequest", "PongReply", "DESCRIPTOR"),
                *("MS_UNKNOWN", "MS_BOOL", "MS_FLOAT32", "MS_STRING", "MS_BYTES"),
            ],
        ),
        (
            "mindspore_serving.proto.ms_service_pb2_grpc",
            ["MSServiceStub", "MSServiceServicer", "add_MSServiceServicer_to_server"],
        ),
    ],
)
def test_every_home_has_its_names(module, names):
    home = importlib.import_module(module)
    assert [name for name in names if not hasattr(home, name)] == []


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("mindspore_serving.server.register", REGISTER),
        ("mindspore_serving.server.distributed", DISTRIBUTED),
        ("mindspore_serving.server.master.context", ["set_max_enqueued_requests"]),
    ],
)
def test_a_star_gives_the_originals_names(module, names):
    assert sorted(importlib.import_module(module).__all__) == sorted(names)


def test_a_star_gives_at_least_the_originals_names_of_the_server():
    given = set(importlib.import_module("mindspore_serving.server").__all__)
    assert {*STARTS, *REGISTER, *DISTRIBUTED} <= given


MODEL_OPTIONS = "with_batch_dim=True, options=None, without_batch_dim_inputs=None"
FILES = (
    "model_files, group_config_files=None, agent_start_port=7000, agent_ip=None, rank_start=None"
)
DEVICE = "version_number=0, device_type=None, device_id=0"
RANKS = "rank_size, stage_size, with_batch_dim=True, without_batch_dim_inputs=None"
RANK_TABLE = "servable_directory, servable_name, rank_table_json_file, version_number=1"
WAIT = "wait_agents_time_in_seconds=0"
# Parameters that are ours come after those of the original, or by keyword alone.
SIGNATURES = {
    "client.SSLConfig": "certificate=None, private_key=None, custom_ca=None",
    "client.Client.infer": "self, instances",
    "client.Client.infer_async": "self, instances",
    "server.start_servables": "servable_configs, enable_lite=False",
    "server.ServableStartConfig": (
        "servable_directory, servable_name, device_ids=None, version_number=0, device_type=None,"
        " num_parallel_workers=0, dec_key=None, dec_mode='AES-GCM'"
    ),
    "server.start_grpc_server": "address, max_msg_mb_size=100, ssl_config=None",
    "server.start_restful_server": "address, max_msg_mb_size=100, ssl_config=None",
    "server.SSLConfig": "certificate, private_key, custom_ca=None, verify_client=False",
    "server.stop": "",
    "server.master.context.set_max_enqueued_requests": "max_enqueued_requests",
    "server.register.declare_model": (
        f"model_file, model_format, {MODEL_OPTIONS}, context=None, config_file=None"
    ),
    "server.register.declare_servable": f"servable_file, model_format, {MODEL_OPTIONS}",
    "server.register.Model": "model_key",
    "server.register.Model.call": "self, *args, subgraph=0",
    "server.register.add_stage": "stage, *args, outputs_count, batch_size=None, tag=None",
    "server.register.register_method": "output_names",
    "server.register.call_preprocess": "preprocess_fun, *args",
    "server.register.call_preprocess_pipeline": "preprocess_fun, *args",
    "server.register.call_servable": "*args, subgraph=0",
    "server.register.call_postprocess": "postprocess_fun, *args",
    "server.register.call_postprocess_pipeline": "postprocess_fun, *args",
    "server.register.register_pipeline": "output_names",
    "server.register.PipelineServable": "servable_name, method, version_number=0",
    "server.register.PipelineServable.run": "self, *args",
    "server.register.Context": "**kwargs",
    "server.register.CPUDeviceInfo": "**kwargs",
    "server.register.GPUDeviceInfo": "**kwargs",
    "server.register.AscendDeviceInfo": "**kwargs",
    "server.register.AclOptions": "**kwargs",
    "server.register.GpuOptions": "**kwargs",
    "server.distributed.start_servable": (
        f"{RANK_TABLE}, distributed_address='0.0.0.0:6200', {WAIT}"
    ),
    "server.distributed.startup_agents": (
        f"distributed_address, {FILES}, dec_key=None, dec_mode='AES-GCM'"
    ),
    "server.distributed.declare_servable": f"{RANKS}, enable_pipeline_infer=False",
    "master.start_grpc_server": "ip='0.0.0.0', grpc_port=5500, max_msg_mb_size=100",
    "master.start_restful_server": "ip='0.0.0.0', restful_port=5900, max_msg_mb_size=100",
    "master.start_master_server": "ip='127.0.0.1', master_port=6100",
    "master.stop": "",
    "worker.start_servable": (
        f"servable_directory, servable_name, {DEVICE}, master_ip='0.0.0.0', master_port=6100,"
        " worker_ip='0.0.0.0', worker_port=6200"
    ),
    "worker.start_servable_in_master": f"servable_directory, servable_name, {DEVICE}",
    "worker.stop": "",
    "worker.distributed.declare_distributed_servable": RANKS,
    "worker.distributed.start_distributed_servable": (
        f"{RANK_TABLE}, worker_ip='0.0.0.0', worker_port=6200, master_ip='0.0.0.0',"
        f" master_port=6100, {WAIT}"
    ),
    "worker.distributed.start_distributed_servable_in_master": (
        f"{RANK_TABLE}, worker_ip='0.0.0.0', worker_port=6200, {WAIT}"
    ),
    "worker.distributed.startup_worker_agents": f"worker_ip, worker_port, {FILES}",
    "worker.context.set_context": "**kwargs",
    "log.debug": "msg, *args",
    "log.info": "msg, *args",
    "log.warning": "msg, *args",
    "log.error": "msg, *args",
    "log.get_level": "",
    "log.get_log_config": "",
}


def found(path):
    """The object at ``path`` below mindspore_serving."""
    parts, at = path.split("."), 0
    home = importlib.import_module("mindspore_serving")
    while at < len(parts) and inspect.ismodule(home):
        home = getattr(home, parts[at], None) or importlib.import_module(
            f"{home.__name__}.{parts[at]}"
        )
        at += 1
    for name in parts[at:]:
        home = getattr(home, name)
    return home


@pytest.mark.parametrize("path", SIGNATURES)
def test_parameters_and_defaults_are_the_originals(path):
    parameters = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in inspect.signature(found(path)).parameters.values()
    ]
    keyword_only = [p for p in parameters if p.kind is p.KEYWORD_ONLY and "outputs" not in p.name]
    listed = [
        str(each)
        for each in parameters
        if each not in keyword_only or each.name in SIGNATURES[path]
    ]
    expected = SIGNATURES[path].split(", ") if SIGNATURES[path] else []
    assert listed[: len(expected)] == expected
    # What is ours beyond them can be left out.
    for each in parameters:
        if str(each) not in expected:
            assert each.default is not each.empty


def test_a_home_has_no_other_names():
    worker = importlib.import_module("mindspore_serving.worker")
    with pytest.raises(AttributeError, match="has no attribute 'start'"):
        getattr(worker, "start")  # noqa: B009 (a plain access would be an expression without use)


def test_a_client_has_the_originals_attributes():
    client = found("client.Client")("localhost:5500", "add", "add_common", version_number=2)
    assert (client.address, client.servable_name, client.method_name, client.version_number) == (
        "localhost:5500", "add", "add_common", 2,
    )  # fmt: skip
    assert callable(client.stub.Predict)
    # How the original's tests closed one.
    del client.stub
    client.stub = None
    client.channel.close()


def test_messages_and_stub_are_those_of_the_client():
    pb = importlib.import_module("mindspore_serving.proto.ms_service_pb2")
    assert pb.PredictRequest(servable_spec=pb.ServableSpec(name="add")).SerializeToString()
    assert pb.DESCRIPTOR.package == "mindspore.serving.proto"
    assert (pb.MS_UNKNOWN, pb.MS_BOOL, pb.MS_FLOAT32, pb.MS_BYTES) == (0, 1, 11, 14)
