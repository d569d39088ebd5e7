"""The example's language model: the graphs that ``python -m examples.llm.export`` writes."""

from mindspore_serving.server import register

register.declare_language_model(
    prefill_model=["prefill_1x64x256.mindir", "prefill_4x64x256.mindir"],
    decode_model=["decode_1x1x256.mindir", "decode_8x1x256.mindir", "decode_16x1x256.mindir"],
    max_model_len=256,
    slots=16,
    decode_cores=1,
)
