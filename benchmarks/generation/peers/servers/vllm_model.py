"""The example's network as vLLM runs models that it does not know: a plugin's class.

Distances instead of positions (ALiBi) on scores that nothing divides, norms with a bias, a squared
ReLU, one matrix for embedding and logits. ``register`` is the plugin's entry point.
"""

import torch
from torch import nn
from vllm import ModelRegistry
from vllm.compilation.decorators import support_torch_compile
from vllm.model_executor.layers.activation import get_act_fn
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.linear import (
    ColumnParallelLinear,
    QKVParallelLinear,
    RowParallelLinear,
)
from vllm.model_executor.layers.logits_processor import LogitsProcessor
from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding
from vllm.model_executor.model_loader.weight_utils import default_weight_loader
from vllm.sequence import IntermediateTensors

NAME = "PydocForCausalLM"


class Layer(nn.Module):
    """Attention and a feed-forward block, each beside a shortcut."""

    def __init__(self, config, cache_config, prefix):
        super().__init__()
        width, heads = config.hidden_size, config.num_attention_heads
        inner, plain = 4 * width, {"bias": False}
        self.norm1 = nn.LayerNorm(width, eps=config.layer_norm_epsilon)
        self.qkv = QKVParallelLinear(
            width, width // heads, heads, heads, **plain, prefix=f"{prefix}.qkv"
        )
        slopes = [2.0 ** -(head + 1) for head in range(heads)]
        self.attention = Attention(
            heads, width // heads, 1.0, num_kv_heads=heads, alibi_slopes=slopes,
            cache_config=cache_config, prefix=f"{prefix}.attention",
        )  # fmt: skip
        self.out = RowParallelLinear(width, width, **plain, prefix=f"{prefix}.out")
        self.norm2 = nn.LayerNorm(width, eps=config.layer_norm_epsilon)
        self.up = ColumnParallelLinear(width, inner, **plain, prefix=f"{prefix}.up")
        self.down = RowParallelLinear(inner, width, **plain, prefix=f"{prefix}.down")
        self.act = get_act_fn("relu2")

    def forward(self, x):
        mixed, _ = self.qkv(self.norm1(x))
        query, keys, values = mixed.chunk(3, -1)
        x = x + self.out(self.attention(query, keys, values))[0]
        return x + self.down(self.act(self.up(self.norm2(x))[0]))[0]


@support_torch_compile
class Pydoc(nn.Module):
    """Token ids to what the logits are made of."""

    def __init__(self, *, vllm_config, prefix=""):
        super().__init__()
        config = vllm_config.model_config.hf_config
        self.embedding = VocabParallelEmbedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            Layer(config, vllm_config.cache_config, f"{prefix}.layers.{number}")
            for number in range(config.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)

    def forward(
        self,
        input_ids: torch.Tensor | None,
        positions: torch.Tensor,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        # vLLM compiles for any number of tokens, which it reads from the annotations.
        x = self.embedding(input_ids) if inputs_embeds is None else inputs_embeds
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class PydocForCausalLM(nn.Module):
    """See https://docs.vllm.ai/en/latest/contributing/model/basic.html."""

    def __init__(self, *, vllm_config, prefix=""):
        super().__init__()
        self.model = Pydoc(vllm_config=vllm_config, prefix="model")
        self.processor = LogitsProcessor(vllm_config.model_config.hf_config.vocab_size)

    def embed_input_ids(self, input_ids):
        return self.model.embedding(input_ids)

    def forward(self, input_ids, positions, intermediate_tensors=None, inputs_embeds=None):
        return self.model(input_ids, positions, intermediate_tensors, inputs_embeds)

    def compute_logits(self, hidden_states):
        return self.processor(self.model.embedding, hidden_states)

    def load_weights(self, weights):
        parameters = dict(self.named_parameters())
        loaded = set()
        for name, weight in weights:
            parameter = parameters[name]
            loader = getattr(parameter, "weight_loader", default_weight_loader)
            if name.endswith("qkv.weight"):
                for part, rows in zip("qkv", torch.chunk(weight, 3), strict=True):
                    loader(parameter, rows, part)
            else:
                loader(parameter, weight)
            loaded.add(name)
        return loaded


def register() -> None:
    """Make the class known to vLLM, in each of its processes."""
    ModelRegistry.register_model(NAME, f"{__name__}:{NAME}")
