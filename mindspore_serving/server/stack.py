"""The services that a user's script starts: child processes that never outlive it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mindspore_serving.server.calls import calling
from mindspore_serving.server.child import Child
from mindspore_serving.server.children import Children
from mindspore_serving.server.distributed_config import DistributedStartConfig
from mindspore_serving.server.gangs import AwaitedGang
from mindspore_serving.server.master.context import max_enqueued_requests
from mindspore_serving.server.readiness import wait_until_serving
from mindspore_serving.server.start_config import ServableStartConfig
from shared.ports import free_port
from shared.wire.predict_service import SERVICE_NAME

_DEVICE_TYPES = {"none": "CPU", "cpu": "CPU", "gpu": "GPU", "ascend": "Ascend"}
_NO_WORKERS = "Fail to start workers"
GRPC_DOOR, REST_DOOR = "master", "restful_master"


@dataclass(slots=True)
class _Master:
    """A master, and where workers join it: its health is asked there, where there is no TLS."""

    membership: str
    child: Child | None = None


@dataclass(slots=True)
class Stack:
    """Master, workers and agents of one script."""

    children: Children = field(default_factory=Children)
    _servables: list[str] = field(default_factory=list)
    _doors: dict[str, Sequence[str]] = field(default_factory=dict)
    """What a master is told of each door that clients come in by."""
    # A master for each door: they may be opened in any order, and neither delays the other.
    _masters: dict[str, _Master] = field(
        default_factory=lambda: {door: _Master(free_address()) for door in (GRPC_DOOR, REST_DOOR)}
    )
    _is_public: bool = False
    """Whether workers of other scripts join: at one address, so one master has all doors."""

    def open_door(self, door: str, arguments: Sequence[str], failure: str) -> None:
        """Let clients in; returns when the door is open, raises RuntimeError with ``failure``."""
        self._doors[door] = arguments
        if self._is_public:
            self._start_public_master(failure)
        else:
            self._start_master(door, arguments, failure)

    def accept_workers(self, address: str) -> None:
        """Let workers of other scripts join at ``address``; doors that are open stay open.

        They are all one master's then, which replaces those there are. Raises RuntimeError when
        servables of this script run already: their workers know the masters of before.
        """
        if self._servables:
            raise RuntimeError("start_master_server comes before the servables of its script")
        self._is_public = True
        self.children.end([each.child for each in self._masters.values() if each.child is not None])
        self._masters = {GRPC_DOOR: _Master(address)}
        self._start_public_master(f"bind to the address {address} failed")

    def _start_public_master(self, failure: str) -> None:
        (master,) = self._masters.values()
        if master.child is not None:
            self.children.end([master.child])
        arguments = [each for door in self._doors.values() for each in door]
        self._start_master(GRPC_DOOR, arguments, failure)

    def _start_master(self, name: str, arguments: Sequence[str], failure: str) -> None:
        master = self._masters[name]
        if "--listen" not in arguments:
            arguments = [*arguments, "--listen", free_address()]
        master.child = self.children.start(
            name,
            "master",
            failure,
            *("--membership-address", master.membership),
            *("--max-requests", str(max_enqueued_requests())),
            *arguments,
            address=master.membership,
        )
        wait_until_serving(self.children, [master.child], master.membership, SERVICE_NAME)
        self._wait_until_known()

    def start_servables(
        self,
        configs: Iterable[ServableStartConfig],
        *,
        masters: Sequence[str] = (),
        listen: str = "",
        enable_lite: bool = False,
    ) -> None:
        """Start a worker and agents for each; returns when every servable can be called.

        enable_lite: agents run MindIR models with MindSpore Lite.
        masters: where the workers join; by default the masters of this script.
        listen: where the one worker listens; by default a free address.
        """
        joined = masters or self._memberships
        more = ["--enable-lite"] if enable_lite else []
        started = [self._start_servable(config, joined, listen, more) for config in configs]
        for name, address, family in started:
            wait_until_serving(self.children, family, address, name)
            if not masters:
                self._servables.append(name)
        self._wait_until_known()

    def _start_servable(
        self,
        config: ServableStartConfig,
        masters: Sequence[str],
        listen: str,
        for_agents: Sequence[str],
    ) -> tuple[str, str, list[Child]]:
        """The servable, where its worker is, and its worker and agents."""
        address = listen or free_address()
        name, version = config.servable_name, config.version_number
        devices = config.device_ids or tuple(range(config.num_parallel_workers))
        part = f"{name} version {version}"
        not_loaded = (
            f"{_NO_WORKERS}: Load model failed, servable directory: '{config.servable_directory}',"
            f" servable name: '{name}', version number {version}, load error details"
        )
        worker = self.children.start(
            f"{name}_worker_version{version}",
            "worker",
            _NO_WORKERS,
            *("--listen", address),
            *("--masters", ",".join(masters)),
            *("--servable-directory", config.servable_directory),
            *("--servables", f"{name}:{version}" if version else name),
            *("--stage-processes", str(config.stage_processes)),
            *("--agents-at-start", str(len(devices))),
            "--fail-fast",
            environment={"SERVING_DEVICE_ID": str(devices[0])},
            address=address,
            part=part,
        )
        agents = [
            self.children.start(
                f"{name}_device{device}_version{version}",
                "agent",
                not_loaded,
                *("--worker", address),
                *("--listen", listens),
                *("--device-id", str(device)),
                *("--device-type", _DEVICE_TYPES[config.device_type]),
                "--first-load-must-succeed",
                *for_agents,
                key=None if config.decryption_key is None else (name, config.decryption_key),
                address=listens,
                part=part,
            )
            for device, listens in ((each, free_address()) for each in devices)
        ]
        return name, address, [worker, *agents]

    def start_distributed(
        self, config: DistributedStartConfig, *, masters: Sequence[str] = ()
    ) -> None:
        """Start a worker whose agents other scripts start; returns when a gang of them serves.

        masters: where the worker joins; by default the masters of this script.
        """
        name, version = config.servable_name, config.version_number
        worker = self.children.start(
            f"{name}_distributed",
            "worker",
            _NO_WORKERS,
            *("--listen", config.distributed_address),
            *("--masters", ",".join(masters or self._memberships)),
            *("--servable-directory", config.servable_directory),
            *("--servables", f"{name}:{version}"),
            *("--rank-table", config.rank_table_json_file),
            *("--wait-agents-seconds", str(config.wait_agents_time_in_seconds)),
            "--fail-fast",
            address=config.local_address,
            part=f"{name} version {version}",
        )
        with calling(config.local_address) as call:
            self.children.wait([worker], AwaitedGang(call, name).serves, None)
        if not masters:
            self._servables.append(name)
        self._wait_until_known()

    @property
    def _memberships(self) -> Sequence[str]:
        """Where workers join the masters of this script."""
        return [each.membership for each in self._masters.values()]

    def _wait_until_known(self) -> None:
        """Let a client that calls next find what was started."""
        for master in self._masters.values():
            for name in self._servables if master.child is not None else ():
                assert master.child is not None
                wait_until_serving(self.children, [master.child], master.membership, name)


def free_address() -> str:
    """A port of loopback that nobody has."""
    return f"127.0.0.1:{free_port()}"
