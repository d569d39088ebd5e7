"""What a service has in memory before anybody asks for more."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("service", ["master", "worker", "agent"])
@pytest.mark.parametrize("library", ["grpc", "uvicorn", "mindspore", "onnxruntime"])
def test_a_service_on_the_native_wire_loads_no_library_that_it_does_not_use(service, library):
    program = f"import sys, services.{service}.app; sys.exit('{library}' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("library", ["grpc", "uvicorn", "mindspore"])
def test_what_servables_import_brings_no_library_into_the_worker(library):
    program = (
        "import sys; from mindspore_serving.server import register, distributed;"
        f" sys.exit('{library}' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
