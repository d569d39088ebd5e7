"""Several workers behind a master: texts go where their beginning is known, unless that is busy."""

import asyncio

import pytest

from tests.support.cluster import Cluster, until
from tests.support.texts import add_language_model, asked, plainly, texts_at

pytestmark = pytest.mark.timeout(180)

FIGURE = "mindserve_worker_generation_{} servable=tiny version=1"
WORKERS = ("worker1", "worker2")
# What a master knows a beginning by, at least: 256 bytes, four of each token.
SHARED = 64


def family(number: int) -> list[int]:
    """A beginning that no other family has."""
    return [(number * 7 + place * (number + 1)) % 256 for place in range(SHARED)]


class Workers:
    """A master and two workers, each with an agent."""

    def __init__(self, cluster: Cluster, **declared: object) -> None:
        self.cluster = cluster
        add_language_model(cluster.servables, blocks=600, **declared)
        cluster.start_master()
        for name in WORKERS:
            cluster.start_agent(f"agent of {name}", cluster.start_worker(name))

    async def ready(self) -> None:
        await self.cluster.ready("tiny")
        for worker in WORKERS:
            await until(
                lambda worker=worker: self.cluster.agents_holding("tiny", worker), what=worker
            )
        await until(lambda: self.offered() == 2, what="both workers to be known")

    def offered(self) -> float:
        return self.cluster.metrics_of("master").get("mindserve_master_workers", 0)

    def figures(self, name: str) -> list[float]:
        return [
            self.cluster.metrics_of(worker).get(FIGURE.format(name), 0.0)
            for worker in WORKERS
            if self.cluster.processes[worker].poll() is None
        ]


async def test_prompts_with_one_beginning_go_to_one_worker(tmp_path):
    families, members = 12, 4
    async with Cluster(tmp_path) as cluster:
        workers = Workers(cluster)
        await workers.ready()
        async with texts_at(cluster.front) as texts:
            for member in range(members):
                for number in range(families):
                    prompt = [*family(number), member, number]
                    made = await texts.only(asked(prompt, new=4))
                    assert made.ids == plainly(prompt, 4)
            hits, queries = (
                workers.figures("prefix_hits_total"),
                workers.figures("prefix_queries_total"),
            )
            # Each beginning was computed by one of them, once.
            assert sum(hits) == families * (members - 1) * SHARED
            assert sum(queries) == families * members * (SHARED + 2)
            assert all(hits), "one worker got everything"
            # Whose worker is lost is served by the other one.
            process = cluster.processes["worker1"]
            process.kill()
            await asyncio.to_thread(process.wait)
            await until(lambda: workers.offered() == 1, what="the loss to be known")
            for number in range(families):
                prompt = [*family(number), 9, 9]
                assert (await texts.only(asked(prompt, new=4))).ids == plainly(prompt, 4)


async def test_a_known_beginning_does_not_overload_its_worker(tmp_path):
    async with Cluster(tmp_path) as cluster:
        workers = Workers(cluster, latency_seconds=0.02)
        await workers.ready()
        async with texts_at(cluster.front) as texts:
            prompts = [[*family(3), n] for n in range(16)]
            calls = [asyncio.create_task(texts.only(asked(prompt, new=20))) for prompt in prompts]
            await until(lambda: all(workers.figures("running")), what="both workers to have texts")
            made = await asyncio.gather(*calls)
            assert [each.ids for each in made] == [plainly(prompt, 20) for prompt in prompts]
            tokens = workers.figures("completion_tokens_total")
            assert sum(tokens) == 16 * 20
            assert min(tokens) >= 4 * 20


async def test_a_worker_that_drains_gets_no_new_text(tmp_path):
    async with Cluster(tmp_path) as cluster:
        workers = Workers(cluster, latency_seconds=0.02)
        await workers.ready()
        async with texts_at(cluster.front) as texts:
            prompts = [[*family(n), n] for n in range(12)]
            running = [asyncio.create_task(texts.only(asked(prompt, new=30))) for prompt in prompts]
            await until(lambda: all(workers.figures("running")), what="both to have texts")
            cluster.processes["worker2"].terminate()
            later = [asyncio.create_task(texts.only(asked(each, new=8))) for each in prompts]
            for prompt, made in zip(prompts, await asyncio.gather(*running), strict=True):
                assert made.ids == plainly(prompt, 30)
            for prompt, made in zip(prompts, await asyncio.gather(*later), strict=True):
                assert made.ids == plainly(prompt, 8)
            assert await asyncio.to_thread(cluster.processes["worker2"].wait, 20) == 0
