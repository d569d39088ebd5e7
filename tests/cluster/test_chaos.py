"""Whatever dies, stops or talks nonsense: answers stay right, ends stay in time.

``CHAOS_SEEDS=1,2,3`` in the environment draws other faults, ``CHAOS_FAULTS=50`` more of them.
"""

import asyncio
import os
import random
import signal
import socket
import struct
from contextlib import AsyncExitStack, suppress

import psutil
import pytest

from mindspore_serving.client.target import PREDICT_PATH
from shared.wire.http2 import frames as f
from shared.wire.http2.headers import HeaderWriter
from tests.support.cluster import add_servable, until
from tests.support.load import WIDTH, Load

# What happens between services happens on both wires.
WIRES = ["grpcio", "native"]

SEEDS = [int(each) for each in os.environ.get("CHAOS_SEEDS", "1").split(",")]
FAULTS = int(os.environ.get("CHAOS_FAULTS", "12"))
AGENTS = {"agent0": "one", "agent1": "one", "agent2": "two"}
LEASE = ("--lease-seconds", "1")
HOLDING = "mindserve_worker_agents_holding servable=toy version=1"
HEADERS = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", PREDICT_PATH.encode()),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
    (b"grpc-timeout", b"2S"),
)


class Chaos:
    """Two workers with two agents and one, and what can happen to them."""

    def __init__(self, cluster, dice):
        self.cluster = cluster
        self.dice = dice
        self.told = []
        self._open = AsyncExitStack()

    async def __aenter__(self):
        self.cluster.start_master(*LEASE)
        self.addresses = {name: self.cluster.start_worker(name, *LEASE) for name in ("one", "two")}
        for name in AGENTS:
            self.start_agent(name)
        await until(self.complete, what=lambda: f"everybody\n{self.cluster.logs()}")
        return self

    async def __aexit__(self, *_):
        await self._open.aclose()

    def start_agent(self, name):
        self.cluster.start_agent(name, self.addresses[AGENTS[name]])

    async def wreak(self, load, faults):
        """Let ``faults`` things happen, each kind as often as any other."""
        kinds = [
            self.kill_a_device_process,
            self.kill_an_agent,
            self.silence_an_agent,
            self.kill_a_worker,
            self.pause_a_worker,
            self.talk_nonsense,
        ]
        order = kinds * (faults // len(kinds)) + kinds[: faults % len(kinds)]
        for kind in self.dice.sample(order, len(order)):
            await kind(load)
            # Often the next fault comes while this one is being mended.
            await load.more_answers(self.dice.randrange(60))

    async def kill_a_device_process(self, load):
        name = self.an_agent("device process of")
        agent = psutil.Process(self.cluster.processes[name].pid)
        children = []

        async def there():
            children[:] = await asyncio.to_thread(agent.children)
            return children

        await until(there, seconds=20, what=f"a device process of {name}")
        with suppress(psutil.NoSuchProcess):
            children[0].kill()

    async def kill_an_agent(self, load):
        name = self.an_agent("kill")
        self.end(name)
        self.start_agent(name)

    async def silence_an_agent(self, load):
        """Stop an agent until its worker has given it up."""
        name = self.an_agent("silence")
        worker = AGENTS[name]
        await until(self.complete, seconds=30, what="everybody")
        self.cluster.processes[name].send_signal(signal.SIGSTOP)

        async def given_up():
            return await self.counted(worker, "mindserve_worker_agents") < self.agents_of(worker)

        await until(given_up, seconds=20, what=f"{worker} to give {name} up")
        self.cluster.processes[name].send_signal(signal.SIGCONT)

    async def kill_a_worker(self, load):
        """Kill a worker that has requests in its hands: it is stopped before, and gets some."""
        name = self.a_worker("kill")
        await until(self.complete, seconds=30, what="everybody")
        self.cluster.processes[name].send_signal(signal.SIGSTOP)
        await load.more_ends(20)
        self.end(name)
        self.cluster.start_worker(name, *LEASE, address=self.addresses[name])

    async def pause_a_worker(self, load):
        name = self.a_worker("pause")
        self.cluster.processes[name].send_signal(signal.SIGSTOP)
        await load.more_ends(20)
        self.cluster.processes[name].send_signal(signal.SIGCONT)

    async def talk_nonsense(self, load):
        """Noise, halves of prefaces and of requests; some hang up, some are cut, some stay."""
        self.told.append("nonsense")
        host, port = self.cluster.front.split(":")
        for _ in range(10):
            _, writer = await asyncio.open_connection(host, int(port))
            self._open.callback(writer.close)
            writer.write(self.nonsense())
            with suppress(ConnectionError):
                await writer.drain()
            match self.dice.choice(("stays", "hangs up", "is cut")):
                case "hangs up":
                    writer.close()
                case "is cut":
                    line = writer.get_extra_info("socket")
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()

    def nonsense(self):
        request = b"".join(
            (
                f.PREFACE,
                f.settings_frame({}),
                f.frame(f.HEADERS, f.END_HEADERS, 1, HeaderWriter().write(HEADERS)),
                f.frame(f.DATA, 0, 1, b"\0\0\0\x20\0" + self.dice.randbytes(5000)),
            )
        )
        return self.dice.choice(
            (
                self.dice.randbytes(self.dice.randrange(1, 500)),
                f.PREFACE + self.dice.randbytes(self.dice.randrange(1, 500)),
                request[: self.dice.randrange(1, len(request))],
            )
        )

    def an_agent(self, what):
        name = self.dice.choice(list(AGENTS))
        self.told.append(f"{what} {name}")
        return name

    def a_worker(self, what):
        name = self.dice.choice(list(self.addresses))
        self.told.append(f"{what} {name}")
        return name

    def end(self, name):
        self.cluster.processes[name].kill()
        self.cluster.processes[name].wait()

    @staticmethod
    def agents_of(worker):
        return list(AGENTS.values()).count(worker)

    async def counted(self, name, figure):
        """A figure of a service; -1 while it has none."""
        try:
            return (await asyncio.to_thread(self.cluster.metrics_of, name)).get(figure, -1)
        except OSError:
            return -1

    async def complete(self):
        """Whether everybody is there and holds what they should."""
        held = [
            await self.counted(each, HOLDING) == self.agents_of(each) for each in ("one", "two")
        ]
        return all(held) and await self.counted("master", "mindserve_master_workers") == 2

    async def idle(self):
        """Whether nobody has anything of any request left."""
        left = [await self.counted("master", "mindserve_master_requests_in_flight")]
        for worker in self.addresses:
            left.append(await self.counted(worker, "mindserve_worker_requests_outstanding"))
            queued = "mindserve_worker_queued_rows servable=toy version=1"
            left.append(await self.counted(worker, queued))
        return left == [0] * len(left)


def processes_in(folder):
    """Every process that works there, whoever started it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder):
                found.append(process.cmdline())
    return found


@pytest.mark.timeout(120 + 5 * FAULTS)
@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_answers_are_right_and_in_time_and_nothing_stays_behind(
    cluster, seed
):
    add_servable(cluster.servables, dims=(-1, WIDTH), latency_seconds=0.005)
    async with Chaos(cluster, random.Random(seed)) as chaos, Load(cluster.front, seed) as load:
        try:
            await load.more_answers(50)
            await chaos.wreak(load, FAULTS)
            await until(chaos.complete, seconds=30, what="everybody to be back")
            await load.more_answers(100)
            await load.stop()
            await until(chaos.idle, seconds=10, what="the last request to be forgotten")
        finally:
            print(f"seed {seed}: {', '.join(chaos.told)}; {dict(load.outcomes)}")
        assert not load.broken
        assert load.outcomes["WorkerLost"], "who waited for a killed worker was not told"
    assert await asyncio.to_thread(processes_in, cluster.folder)
    await asyncio.to_thread(cluster.stop)

    async def alone():
        return not await asyncio.to_thread(processes_in, cluster.folder)

    await until(alone, seconds=10, what=lambda: f"the end of {processes_in(cluster.folder)}")
