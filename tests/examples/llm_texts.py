"""Texts that the network is asked about with and without MindSpore."""

import numpy as np
from tokenizers import Tokenizer

from examples.llm.buckets import Bucket
from examples.llm.sizes import HEAD, HEADS, LAYERS, VOCABULARY
from examples.llm.train_tokenizer import TOKENIZER

LENGTH = 96
ADDED = 12
CHUNK = 16
"""Shorter than most prompts."""
ROWS = (1, 8)
BUCKETS = [Bucket(rows, tokens, LENGTH) for rows in ROWS for tokens in (CHUNK, 1)]
ADAPTED = [Bucket(3, tokens, LENGTH) for tokens in (CHUNK, 1)]
TEXTS = [
    "json.dumps(",
    "Return the ",
    "<|im_start|>user\nWhat does os.path.join do?<|im_end|>\n<|im_start|>assistant\n",
    'The "for" statement is used to iterate over the elements of a sequence (such as a string, '
    "tuple or list) or other iterable object:\n\n",
    "asyncio.Queue",
]


def prompts():
    """Of 1 to about 50 tokens: some end within the first chunk of a prefill, some at its end."""
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    encoded = [tokenizer.encode(text).ids for text in TEXTS]
    return [*encoded, encoded[3][:16], encoded[3][:17], [0]]


def batch(first=0):
    """tokens, positions int32 [8, 32] from position ``first``; most rows end earlier."""
    tokens = np.random.default_rng(3).integers(0, VOCABULARY, (8, 32)).astype(np.int32)
    positions = np.tile(np.arange(first, first + 32, dtype=np.int32), (8, 1))
    for row, end in enumerate((32, 1, 2, 15, 16, 17, 31, 32)):
        positions[row, end:] = -1
    return tokens, positions


def caches(bucket):
    """As after 20 tokens; what lies behind is large, so that it shows when it is looked at."""
    shape = (bucket.rows, HEADS, bucket.cached, HEAD)
    chance = np.random.default_rng(4)
    arrays = [chance.normal(size=shape).astype(np.float32) for _ in range(2 * LAYERS)]
    for array in arrays:
        array[:, :, 20:] = 1e4
    return arrays
