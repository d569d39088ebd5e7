"""ONNX Runtime beside MindSpore, on what MindSpore exported; the rest is in tests/contract."""

import numpy as np
import pytest

from shared.membership import ModelFiles
from tests.support.devices import held

pytestmark = pytest.mark.mindspore


async def test_what_mindspore_exports_as_onnx_answers_as_mindspore_does(mindir):
    paths = {"mindir": mindir / "mlp_eights.mindir", "onnx": mindir / "onnx" / "mlp_eights.onnx"}
    many = [ModelFiles(kind, kind, (str(path),), True, (), 8) for kind, path in paths.items()]
    rows = np.random.default_rng(0).standard_normal((11, 5)).astype(np.float32)
    async with held(*many) as device:
        (expected,) = await device.run("mindir", rows)
        (found,) = await device.run("onnx", rows)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
