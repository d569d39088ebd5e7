"""Reports and notices to protobuf and back."""

from dataclasses import asdict

from google.protobuf.message import DecodeError

from protos.serving.v1 import membership_pb2 as pb
from protos.serving.v1 import tensor_pb2
from shared import membership as m
from shared.addresses import HostPort
from shared.errors import InvalidRequest
from shared.servable import DeviceOptions, LanguageGraphs, ModelOptions, ServableVersion
from shared.tensors import ElementType, TensorSpec
from shared.wire.offers_codec import read_offer, write_offer

_STATES = {
    "loading": pb.HOLDING_STATE_LOADING,
    "ready": pb.HOLDING_STATE_READY,
    "failed": pb.HOLDING_STATE_FAILED,
}
_STATE_NAMES = {number: name for name, number in _STATES.items()}


def write_report(report: m.Report) -> bytes:
    """A member's report as bytes."""
    message = pb.Report()
    match report:
        case m.Hello():
            message.hello.CopyFrom(
                pb.Hello(
                    member_id=report.member_id,
                    address=report.address,
                    local_address=report.local_address,
                )
            )
            if report.device is not None:
                message.hello.device.CopyFrom(
                    pb.Device(type=report.device.type, id=report.device.id)
                )
            message.hello.epoch = report.epoch
            message.hello.generation_role = report.generation_role
            if report.rank is not None:
                message.hello.rank = report.rank
        case m.Heartbeat():
            message.heartbeat.outstanding = report.outstanding
        case m.Offers():
            message.offers.CopyFrom(
                pb.Offers(offers=map(write_offer, report.offers), draining=report.draining)
            )
        case m.Holdings():
            message.holdings.CopyFrom(pb.Holdings(holdings=map(_write_holding, report.holdings)))
    return message.SerializeToString()


def read_report(message: bytes, *, peer_host: str) -> m.Report:
    """A report from bytes; an address without host gets ``peer_host``.

    Raises InvalidRequest for bytes that are no report.
    """
    try:
        report = pb.Report.FromString(message)
    except DecodeError as failure:
        raise InvalidRequest("not a membership report") from failure
    match report.WhichOneof("report"):
        case "hello":
            return _read_hello(report.hello, peer_host)
        case "heartbeat":
            return m.Heartbeat(report.heartbeat.outstanding)
        case "offers":
            return m.Offers(tuple(map(read_offer, report.offers.offers)), report.offers.draining)
        case "holdings":
            return m.Holdings(tuple(map(_read_holding, report.holdings.holdings)))
        case _:
            raise InvalidRequest("an empty membership report")


def _read_hello(hello: pb.Hello, peer_host: str) -> m.Hello:
    try:
        address = HostPort.parse(hello.address)
    except ValueError as failure:
        raise InvalidRequest(f"a member's address: {failure}") from failure
    if not address.host:
        address = HostPort(peer_host or "127.0.0.1", address.port)
    device = m.Device(hello.device.type, hello.device.id) if hello.HasField("device") else None
    rank = hello.rank if hello.HasField("rank") else None
    return m.Hello(
        hello.member_id,
        str(address),
        hello.local_address,
        device,
        rank,
        hello.epoch,
        _read_role(hello.generation_role),
    )


def _read_role(text: str) -> m.GenerationRole:
    try:
        return m.GenerationRole(text or m.GenerationRole.BOTH)
    except ValueError:
        raise InvalidRequest(
            f"a member's generation role: expected {', '.join(m.GenerationRole)}, got '{text}'"
        ) from None


def _write_holding(holding: m.Holding) -> pb.Holding:
    return pb.Holding(
        servable=holding.what.servable,
        version=holding.what.version,
        state=_STATES[holding.state],
        detail=holding.detail,
        models=map(_write_signature, holding.models),
        epoch=holding.epoch,
        scheduler=holding.scheduler,
    )


def _read_holding(holding: pb.Holding) -> m.Holding:
    return m.Holding(
        what=ServableVersion(holding.servable, holding.version),
        state=_STATE_NAMES.get(holding.state, "failed"),
        detail=holding.detail,
        models=tuple(map(_read_signature, holding.models)),
        epoch=holding.epoch,
        scheduler=holding.scheduler,
    )


def _write_signature(signature: m.ModelSignature) -> pb.ModelSignature:
    return pb.ModelSignature(
        key=signature.key,
        subgraphs=[
            pb.SubgraphSignature(
                inputs=map(_write_spec, subgraph.inputs), outputs=map(_write_spec, subgraph.outputs)
            )
            for subgraph in signature.subgraphs
        ],
        batch_size=signature.batch_size,
    )


def _read_signature(signature: pb.ModelSignature) -> m.ModelSignature:
    return m.ModelSignature(
        key=signature.key,
        subgraphs=tuple(
            m.SubgraphSignature(
                tuple(map(_read_spec, subgraph.inputs)), tuple(map(_read_spec, subgraph.outputs))
            )
            for subgraph in signature.subgraphs
        ),
        batch_size=signature.batch_size,
    )


def _write_spec(spec: TensorSpec) -> tensor_pb2.TensorSpec:
    return tensor_pb2.TensorSpec(
        name=spec.name,
        element_type=tensor_pb2.ElementType.Name(spec.element_type),
        dims=spec.dims,
    )


def _read_spec(spec: tensor_pb2.TensorSpec) -> TensorSpec:
    return TensorSpec(spec.name, ElementType(spec.element_type), tuple(spec.dims))


def write_notice(notice: m.Notice) -> bytes:
    """A registrar's notice as bytes."""
    message = pb.Notice()
    match notice:
        case m.Welcome():
            message.welcome.registrar_id = notice.registrar_id
            message.welcome.lease_seconds = notice.lease_seconds
        case m.Assignment():
            message.assignment.CopyFrom(
                pb.Assignment(servables=map(_write_assigned, notice.servables))
            )
    return message.SerializeToString()


def read_notice(message: bytes) -> m.Notice:
    """A notice from bytes; raises InvalidRequest for bytes that are none."""
    try:
        notice = pb.Notice.FromString(message)
    except DecodeError as failure:
        raise InvalidRequest("not a membership notice") from failure
    match notice.WhichOneof("notice"):
        case "welcome":
            return m.Welcome(notice.welcome.registrar_id, notice.welcome.lease_seconds)
        case "assignment":
            return m.Assignment(tuple(map(_read_assigned, notice.assignment.servables)))
        case _:
            raise InvalidRequest("an empty membership notice")


def _write_assigned(assigned: m.Assigned) -> pb.ServableVersion:
    return pb.ServableVersion(
        servable=assigned.what.servable,
        version=assigned.what.version,
        models=[
            pb.ModelFiles(
                key=model.key,
                format=model.format,
                paths=model.paths,
                with_batch_dim=model.with_batch_dim,
                without_batch_dim_inputs=model.without_batch_dim_inputs,
                max_batch_size=model.max_batch_size,
                options=_write_options(model.options),
                language=_write_language(model.language),
            )
            for model in assigned.models
        ],
        gang=_write_part(assigned.gang),
    )


def _read_assigned(assigned: pb.ServableVersion) -> m.Assigned:
    return m.Assigned(
        what=ServableVersion(assigned.servable, assigned.version),
        models=tuple(
            m.ModelFiles(
                key=model.key,
                format=model.format,
                paths=tuple(model.paths),
                with_batch_dim=model.with_batch_dim,
                without_batch_dim_inputs=tuple(model.without_batch_dim_inputs),
                max_batch_size=model.max_batch_size,
                options=_read_options(model.options),
                language=_read_language(model.language) if model.HasField("language") else None,
            )
            for model in assigned.models
        ),
        gang=_read_part(assigned.gang) if assigned.HasField("gang") else None,
    )


def _write_language(graphs: LanguageGraphs | None) -> pb.LanguageModel | None:
    return None if graphs is None else pb.LanguageModel(**asdict(graphs))


def _read_language(graphs: pb.LanguageModel) -> LanguageGraphs:
    return LanguageGraphs(
        graphs.prefill,
        graphs.decode,
        graphs.argmax,
        graphs.topk,
        graphs.block_size,
        graphs.blocks,
        graphs.tokenizer,
        graphs.device_post_sampling,
        graphs.decode_cores,
    )


def _write_part(part: m.GangPart | None) -> pb.GangPart | None:
    return None if part is None else pb.GangPart(**asdict(part))


def _read_part(part: pb.GangPart) -> m.GangPart:
    return m.GangPart(
        part.epoch,
        part.rank,
        part.rank_size,
        part.group_rank,
        part.group_size,
        part.scheduler,
        part.rank_table,
    )


def _write_options(options: ModelOptions) -> pb.ModelOptions:
    return pb.ModelOptions(
        thread_num=options.thread_num,
        thread_affinity_core_list=options.thread_affinity_core_list,
        enable_parallel=options.enable_parallel,
        devices=[
            pb.DeviceOptions(type=each.type, values=dict(each.values)) for each in options.devices
        ],
        config_file=options.config_file,
        cores=options.cores,
    )


def _read_options(options: pb.ModelOptions) -> ModelOptions:
    return ModelOptions(
        thread_num=options.thread_num if options.HasField("thread_num") else None,
        thread_affinity_core_list=tuple(options.thread_affinity_core_list),
        enable_parallel=options.enable_parallel if options.HasField("enable_parallel") else None,
        # A map has no order.
        devices=tuple(
            DeviceOptions(each.type, tuple(sorted(each.values.items()))) for each in options.devices
        ),
        config_file=options.config_file,
        cores=options.cores if options.HasField("cores") else None,
    )
