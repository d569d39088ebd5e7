import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTOS = sorted(path.relative_to(ROOT) for path in ROOT.glob("protos/**/*.proto"))


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", "-I.",
            f"--python_out={folder}", f"--pyi_out={folder}", *map(str, PROTOS),
        ],
        cwd=ROOT,
        check=True,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("proto", PROTOS, ids=str)
@pytest.mark.parametrize("ending", ["_pb2.py", "_pb2.pyi"])
def test_committed_code_is_what_protoc_makes(generated, proto, ending):
    name = proto.with_name(proto.stem + ending)
    assert (ROOT / name).read_bytes() == (generated / name).read_bytes(), "run make generate"


def test_no_generated_file_is_left_without_its_proto(generated):
    committed = {path.relative_to(ROOT) for path in ROOT.glob("protos/**/*_pb2.py*")}
    assert committed == {path.relative_to(generated) for path in generated.rglob("*_pb2.py*")}
