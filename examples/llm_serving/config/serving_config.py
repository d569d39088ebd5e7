"""The language model of examples/llm, as MindSpore's llm-serving had models described."""

from types import SimpleNamespace

MODELS = "examples/llm/docstrings/1"

SERVER_APP_HOST = "localhost"
SERVER_APP_PORT = 9811

# A rank's graphs: one for each static shape.
prefill_model_path = [[f"{MODELS}/prefill_1x64x256.mindir", f"{MODELS}/prefill_4x64x256.mindir"]]
decode_model_path = [
    [
        f"{MODELS}/decode_1x1x256.mindir",
        f"{MODELS}/decode_8x1x256.mindir",
        f"{MODELS}/decode_16x1x256.mindir",
    ]
]
argmax_model = [f"{MODELS}/argmax.mindir"]
topk_model = [f"{MODELS}/topk.mindir"]
tokenizer_path = "examples/llm/tokenizer.json"

Baseconfig = SimpleNamespace(
    max_generate_length=256,
    end_token=[0, 2],
    batch_size=8,
    dyn_batch_size=[1, 8, 16],
    prefill_batch_size=4,
    batching_strategy="continuous",
    tokenizer_path=tokenizer_path,
)

AgentConfig = SimpleNamespace(
    ctx_setting="",
    inc_setting="",
    post_model_setting="",
    prefill_model=prefill_model_path,
    decode_model=decode_model_path,
    argmax_model=argmax_model,
    topk_model=topk_model,
    AgentPorts=[9820],
    device_start=0,
    enable_host_post_sampling=True,
)

AgentIP = "localhost"
ModelName = "llama_dyn"
