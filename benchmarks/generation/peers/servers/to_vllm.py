"""``python to_vllm.py WEIGHTS.npz TOKENIZER.json FOLDER``: the example for vLLM, and a plugin.

A checkpoint in FOLDER/model, and in FOLDER/plugin what makes vLLM look for ``vllm_model.py``.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

CONFIG = {
    "architectures": ["PydocForCausalLM"],
    "model_type": "gpt2",
    "vocab_size": 2048,
    "n_embd": 256,
    "n_layer": 4,
    "n_head": 8,
    "n_inner": 1024,
    "n_positions": 256,
    "layer_norm_epsilon": 1e-5,
    "dtype": "float32",
    "bos_token_id": 0,
    "eos_token_id": 0,
}
ENTRY = "[vllm.general_plugins]\npydoc = vllm_model:register\n"


def main(weights: str, tokenizer: str, folder: str) -> None:
    model, info = Path(folder, "model"), Path(folder, "plugin", "pydoc_vllm-1.0.dist-info")
    for each in (model, info):
        each.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pydoc-vllm\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY)
    shutil.copy(tokenizer, model / "tokenizer.json")
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (model / "tokenizer_config.json").write_text(json.dumps(described))
    (model / "config.json").write_text(json.dumps(CONFIG))
    renamed = {
        _name(name): np.ascontiguousarray(array, np.float32)
        for name, array in np.load(weights).items()
    }
    save_file(renamed, model / "model.safetensors")


def _name(name: str) -> str:
    if name == "embedding":
        return "model.embedding.weight"
    return f"model.{name}".replace(".gamma", ".weight").replace(".beta", ".bias")


if __name__ == "__main__":
    main(*sys.argv[1:])
