"""``python to_gguf.py WEIGHTS.npz TOKENIZER.json OUTPUT.gguf HEADS``: the example for llama.cpp.

No architecture of llama.cpp is the example's, but Jais has the same parts: distances instead of
positions (ALiBi, up to 8), norms with a bias, one matrix for queries, keys and values. Two
things differ and are turned into what Jais computes:

* Jais divides scores by the size of a head, the example by nothing: queries are multiplied by it.
* The example squares what is positive, relu(x)^2; Jais computes silu(g) * u. With g = Ax and
  u = x/A that is x^2 * sigmoid(Ax), less than 1e-6 from it for A = 1024. It costs a matrix that
  the example has not: a quarter more products.

Weights stay float32.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np

STEEPNESS = 1024.0
MOST_BIAS = 8.0
END_OF_TEXT = 0
CONTROL, NORMAL = 3, 1


def main(weights_path, tokenizer_path, output, heads):
    weights = {k: v.astype(np.float32) for k, v in np.load(weights_path).items()}
    vocabulary, width = weights["embedding"].shape
    layers = len([name for name in weights if name.endswith(".qkv.weight")])
    inner = weights["layers.0.up.weight"].shape[0]
    head = width // heads
    writer = gguf.GGUFWriter(output, "jais")
    writer.add_name("pydoc")
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_layer_norm_eps(1e-5)
    writer.add_max_alibi_bias(MOST_BIAS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_tokenizer(writer, json.loads(Path(tokenizer_path).read_text()), vocabulary)

    def add(name, array):
        writer.add_tensor(name, np.ascontiguousarray(array, np.float32))

    add("token_embd.weight", weights["embedding"])
    add("output.weight", weights["embedding"])
    add("output_norm.weight", weights["norm.gamma"])
    add("output_norm.bias", weights["norm.beta"])
    for layer in range(layers):
        ours, theirs = f"layers.{layer}", f"blk.{layer}"
        qkv = weights[f"{ours}.qkv.weight"].copy()
        qkv[:width] *= head
        up = weights[f"{ours}.up.weight"]
        for name, array in (
            ("attn_norm.weight", weights[f"{ours}.norm1.gamma"]),
            ("attn_norm.bias", weights[f"{ours}.norm1.beta"]),
            ("attn_qkv.weight", qkv),
            ("attn_qkv.bias", np.zeros(3 * width)),
            ("attn_output.weight", weights[f"{ours}.out.weight"]),
            ("attn_output.bias", np.zeros(width)),
            ("ffn_norm.weight", weights[f"{ours}.norm2.gamma"]),
            ("ffn_norm.bias", weights[f"{ours}.norm2.beta"]),
            ("ffn_gate.weight", up * STEEPNESS),
            ("ffn_gate.bias", np.zeros(inner)),
            ("ffn_up.weight", up / STEEPNESS),
            ("ffn_up.bias", np.zeros(inner)),
            ("ffn_down.weight", weights[f"{ours}.down.weight"]),
            ("ffn_down.bias", np.zeros(width)),
        ):
            add(f"{theirs}.{name}", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer, described, vocabulary):
    """Byte-level BPE, as GPT-2 cuts texts."""
    model = described["model"]
    ids = {number: token for token, number in model["vocab"].items()}
    special = {each["id"] for each in described["added_tokens"]}
    tokens = [ids[number] for number in range(vocabulary)]
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if n in special else NORMAL for n in range(vocabulary)])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(END_OF_TEXT)
    writer.add_add_bos_token(False)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
