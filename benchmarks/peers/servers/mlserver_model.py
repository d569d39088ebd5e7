"""The model as MLServer wants it."""

import numpy as np
from bench_model import after, before, run
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Bench(MLModel):
    """Answers one request, or several that MLServer has put into one."""

    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0])
        rows = np.ascontiguousarray(after(run(before(x))))
        outputs = [NumpyCodec.encode_output("y", rows)]
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=outputs)
