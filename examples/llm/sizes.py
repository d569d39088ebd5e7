"""What the network on MindSpore, the one in NumPy and the exported graphs have in common."""

from pathlib import Path

import numpy as np

VOCABULARY = 2048
LAYERS = 4
WIDTH = 256
HEADS = 8
HEAD = WIDTH // HEADS
INNER = 4 * WIDTH
"""Width between the two matrices of a feed-forward block."""
CONTEXT = 256
"""Tokens of a training window; the graphs may be longer, since positions are distances."""
RANK = 4
"""Of each adapter's two matrices."""
EPSILON = 1e-5

SLOPES = np.array([2.0 ** -(head + 1) for head in range(HEADS)], np.float32)
"""How much less each head sees of a token for each step that it lies further back (ALiBi).

Source: Press, Smith, Lewis: Train Short, Test Long (2022), https://arxiv.org/abs/2108.12409
"""
HIDDEN = -1e9
"""Added to the score of what a token must not see; finite, so that rows without tokens stay so."""

WEIGHTS = Path(__file__).with_name("weights.npz")
"""float16, by the names of MindSpore's parameters."""
ADAPTERS = ("zen", "rot13")
"""Numbers 1 and 2 of the graphs' last input; 0 stands for none."""
LORA = Path(__file__).with_name("adapters.npz")
"""float16, by the names of MindSpore's parameters."""
