"""Defects of llm-serving: each has tests that it is not ours.

The table is ``llm_serving_defects.txt`` beside this. ``tests/cluster/test_generation_defects.py``
shows on real services what no other module shows.
"""

import ast
import socket
from functools import cache
from pathlib import Path

import pytest

from services.agent.device.load_message import LoadMessage
from services.agent.device.process import DeviceProcess
from services.agent.device.withdrawals import Withdrawals, create_page
from services.worker.generation.buckets import Bucket
from services.worker.generation.scheduler import Scheduler
from services.worker.generation.steps import Decode, Step
from services.worker.generation.steps_codec import write_step
from shared.membership import Device
from tests.support.generation import RULES, SimulatedAgent, prompt_of, run_all, run_step
from tests.support.language import toy

TESTS = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("llm_serving_defects.txt")


def table():
    """Each defect with the tests that are named for it."""
    modules, defects = {}, {}
    for line in TABLE.read_text().partition("\n\n")[2].splitlines():
        if " = " in line:
            name, _, path = line.partition(" = ")
            modules[name] = path
        elif line.startswith("    "):
            name, test = line.split()
            defects[next(reversed(defects))].append((modules[name], test))
        elif line and not line.startswith("["):
            defects[line] = []
    return defects


@cache
def functions_of(path):
    nodes = ast.walk(ast.parse((TESTS / path).read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("defect", "tests"), table().items())
def test_each_has_a_test_that_it_is_not_ours(defect, tests):
    assert tests
    assert [test for path, test in tests if test not in functions_of(path)] == []


def test_a_batch_that_grows_computes_nothing_but_texts():
    scheduler, agent = Scheduler("tiny", RULES), SimulatedAgent(RULES)
    steps, texts = [], []
    for number in range(4):
        prompt = prompt_of(number, 3 - number, new=20)
        texts += scheduler.add(prompt, 0.0)
        agent.know(texts)
        steps += [run_step(scheduler, agent)[0] for _ in range(3)]
    steps += run_all(scheduler, agent)
    assert {step.decode.bucket.batch for step in steps if step.decode} == {1, 2, 4}
    # The last token of a text is not computed.
    assert sum(step.tokens for step in steps) == sum(len(each.tokens) - 1 for each in texts)


def test_a_decode_step_is_a_small_message():
    bucket = Bucket(16, 1, 1024)
    slots = tuple(range(16))
    step = Step(100_000, decode=Decode(bucket, slots, (900,) * 16))
    # Slot numbers and positions, no tokens and no tensors.
    assert len(write_step(step, {bucket: 3}, {}, forget=False)) < 16 * 12


def test_nothing_is_offered_before_its_graphs_are_warm(tmp_path):
    files = toy(tmp_path)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = DeviceProcess(theirs, Withdrawals(create_page()))
        process._load(LoadMessage(Device("CPU", 0), (files,)).written(), bytearray())
        process._reader.close()
        # Said on the way, before the answer with which an agent offers the model.
        assert b"warming up model 'toy'" in ours.recv(1 << 16)
