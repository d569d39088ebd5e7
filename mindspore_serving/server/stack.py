"""The services that a user's script starts: child processes that never outlive it."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mindspore_serving import log
from mindspore_serving.server.attendance import Attendance, can_be_called, hang_seconds
from mindspore_serving.server.child import Child, ServableKey, why_not_born
from mindspore_serving.server.master.context import max_enqueued_requests
from mindspore_serving.server.start_config import ServableStartConfig
from shared.ports import free_port
from shared.wire.health import CHECK_PATH, check_request, is_serving
from shared.wire.predict_service import SERVICE_NAME

_DEVICE_TYPES = {"none": "CPU", "cpu": "CPU", "gpu": "GPU", "ascend": "Ascend"}
_READY_SECONDS = 600.0
_POLL_SECONDS = 0.1
_NO_VARIABLES: Mapping[str, str] = {}
GRPC_DOOR, REST_DOOR = "master", "restful_master"


@dataclass(slots=True)
class _Master:
    """A master, and where workers join it: its health is asked there, where there is no TLS."""

    membership: str
    child: Child | None = None


@dataclass(slots=True)
class Stack:
    """Master, workers and agents of one script."""

    _hang_seconds: float = field(default_factory=hang_seconds)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _children: list[Child] = field(default_factory=list)
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
        self._end([each.child for each in self._masters.values() if each.child is not None])
        self._masters = {GRPC_DOOR: _Master(address)}
        self._start_public_master(f"bind to the address {address} failed")

    def _start_public_master(self, failure: str) -> None:
        (master,) = self._masters.values()
        if master.child is not None:
            self._end([master.child])
        arguments = [each for door in self._doors.values() for each in door]
        self._start_master(GRPC_DOOR, arguments, failure)

    def _start_master(self, name: str, arguments: Sequence[str], failure: str) -> None:
        master = self._masters[name]
        if "--listen" not in arguments:
            arguments = [*arguments, "--listen", free_address()]
        master.child = self._start(
            name,
            "master",
            failure,
            *("--membership-address", master.membership),
            *("--max-requests", str(max_enqueued_requests())),
            *arguments,
            address=master.membership,
        )
        self._wait([master.child], master.membership, SERVICE_NAME)
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
        joined = masters or [each.membership for each in self._masters.values()]
        more = ["--enable-lite"] if enable_lite else []
        started = [self._start_servable(config, joined, listen, more) for config in configs]
        for name, address, family in started:
            self._wait(family, address, name)
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
        failure = "Fail to start workers"
        part = f"{name} version {version}"
        not_loaded = (
            f"{failure}: Load model failed, servable directory: '{config.servable_directory}',"
            f" servable name: '{name}', version number {version}, load error details"
        )
        worker = self._start(
            f"{name}_worker_version{version}",
            "worker",
            failure,
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
            self._start(
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

    def _wait_until_known(self) -> None:
        """Let a client that calls next find what was started."""
        for master in self._masters.values():
            for name in self._servables if master.child is not None else ():
                assert master.child is not None
                self._wait([master.child], master.membership, name)

    def watch(self) -> bool:
        """Keep this process alive, and services that crash or hang, until ``stop``.

        It also ends, with True, when what is left of the services can answer nobody: then they
        are to be stopped.
        """
        attendance = Attendance(self._hang_seconds)
        while not self._stopped.wait(_POLL_SECONDS):
            with self._lock:
                if self._stopped.is_set():
                    break
                attendance.look(self._children, time.monotonic())
                if not can_be_called(self._children):
                    return True
                asked = list(self._children)
            attendance.ask(asked, time.monotonic())
        return False

    def stop(self) -> None:
        """End every child, those that take requests first; each finishes what it has."""
        self._stopped.set()
        with self._lock:
            # The master first, then workers, then agents: nothing accepted is lost.
            for service in ("master", "worker", "agent"):
                self._end([child for child in self._children if child.service == service])

    def let_go(self) -> None:
        """Close this process's ends of what keeps its services alive; takes no lock."""
        for child in self._children:
            child.close()

    def _end(self, children: Sequence[Child]) -> None:
        with self._lock:
            for child in children:
                child.close()
            began = time.monotonic()
            for child in children:
                if not child.wait(began + child.stop_seconds):
                    log.error("%s had not ended in %g s: killed", child.name, child.stop_seconds)
                if child in self._children:  # else a signal's handler was faster
                    self._children.remove(child)

    def _start(
        self,
        name: str,
        service: str,
        failure: str,
        *arguments: str,
        environment: Mapping[str, str] = _NO_VARIABLES,
        key: ServableKey | None = None,
        address: str,
        part: str = "",
    ) -> Child:
        with self._lock:
            try:
                child = Child(
                    *(name, service, failure, arguments, environment, key),
                    now=time.monotonic(), address=address, part=part,
                )  # fmt: skip
            except OSError as oserror:
                raise RuntimeError(f"{failure}: {why_not_born(oserror)}") from oserror
            self._children.append(child)
            return child

    def _wait(self, children: Sequence[Child], address: str, service: str) -> None:
        """Wait until ``service`` serves at ``address``, which needs all of ``children``."""
        # Here, because servable_config.py imports this package too, and workers do without grpcio.
        import grpc  # noqa: PLC0415 (see above)

        deadline = time.monotonic() + _READY_SECONDS
        with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            check: Callable[..., bytes] = channel.unary_unary(CHECK_PATH)
            while True:
                for child in children:
                    if child.ended:
                        raise RuntimeError(child.why_not_started())
                if time.monotonic() > deadline:
                    raise RuntimeError(
                        f"{children[0].failure}: not ready in {_READY_SECONDS:.0f} s"
                    )
                try:
                    if is_serving(check(check_request(service), timeout=5)):
                        break
                except grpc.RpcError:
                    pass
                time.sleep(_POLL_SECONDS)
        for child in children:
            child.is_kept = True


def free_address() -> str:
    """A port of loopback that nobody has."""
    return f"127.0.0.1:{free_port()}"
