"""The model as Triton's Python backend wants it."""

import triton_python_backend_utils as pb_utils
from bench_model import run_batch


class TritonPythonModel:
    """Answers what Triton hands over with one call of the model."""

    def execute(self, requests: list) -> list:
        tensors = [pb_utils.get_input_tensor_by_name(each, "x").as_numpy() for each in requests]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", each)]) for each in run_batch(tensors)
        ]
