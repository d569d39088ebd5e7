"""The model as Triton's Python backend wants it."""

import json

import triton_python_backend_utils as pb_utils
from bench_model import after, before, run, run_batch


class TritonPythonModel:
    """Answers what Triton hands over with one call of the model, or of a stage around it."""

    def initialize(self, args: dict) -> None:
        stage = json.loads(args["model_config"])["parameters"]["stage"]["string_value"]
        self._function = {"before": before, "model": run, "after": after}[stage]

    def execute(self, requests: list) -> list:
        tensors = [pb_utils.get_input_tensor_by_name(each, "x").as_numpy() for each in requests]
        answers = run_batch(tensors, self._function)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", each)]) for each in answers]
