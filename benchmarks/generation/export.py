"""``python -m benchmarks.generation.export FOLDER``: the example's graphs, and texts to continue.

Graphs lie in FOLDER, those with fused argmax in FOLDER/fused; ``texts.json`` has prompts of the
example's own corpus with their greedy continuations, as a bare loop makes them.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # as device processes have it

from tokenizers import Tokenizer

from benchmarks.generation.shapes import (
    CHUNK,
    DECODE,
    FITTED,
    NEW_TOKENS,
    PREFILL,
    PROMPT_TOKENS,
    ROWS,
    Shape,
    Text,
)
from examples.llm.buckets import Bucket
from examples.llm.corpus import SPECIAL_TOKENS, entries
from examples.llm.export import export
from examples.llm.graphs import Graph, on_cpu
from examples.llm.plain_loop import Loop
from examples.llm.train_tokenizer import TOKENIZER

TEXTS = 4 * ROWS


def loop_of(rows: int, folder: Path) -> Loop:
    """The bare loop of so many rows."""
    prefill, decode = Shape(rows, CHUNK, FITTED), Shape(rows, 1, FITTED)
    bucket = Bucket(*prefill)
    return Loop(Graph(bucket, folder), Graph(Bucket(*decode), folder), bucket)


def candidates(tokenizer: Tokenizer) -> Iterator[tuple[str, list[int]]]:
    """Beginnings of the corpus's pages that are so many tokens again when they are read."""
    for number, entry in enumerate(entries()):
        tokens = tokenizer.encode(entry.page()).ids[:PROMPT_TOKENS]
        text = tokenizer.decode(tokens)
        # A few of each module, so that beginnings differ.
        if (
            number % 7 == 0
            and tokenizer.encode(text).ids == tokens
            and len(tokens) == PROMPT_TOKENS
        ):
            yield text, tokens


def texts_of(folder: Path) -> Iterator[Text]:
    """Prompts whose continuation has no token that ends it, and is text after each token."""
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    loop = loop_of(ROWS, folder)
    waiting = candidates(tokenizer)
    while batch := [each for each, _ in zip(waiting, range(ROWS), strict=False)]:
        made = loop.generate([tokens for _, tokens in batch], NEW_TOKENS)
        for (prompt, tokens), following in zip(batch, made, strict=True):
            prefixes = [tokenizer.decode(following[: n + 1]) for n in range(NEW_TOKENS)]
            if min(following) >= len(SPECIAL_TOKENS) and "\ufffd" not in prefixes[-1]:
                yield Text(prompt, tokens, following, prefixes)


def main(folder: Path) -> None:
    on_cpu()
    for fused in (False, True):
        buckets = [Bucket(*shape) for shape in (*PREFILL, *DECODE)]
        export(buckets, folder / "fused" if fused else folder, fused)
    texts = [text for text, _ in zip(texts_of(folder), range(TEXTS), strict=False)]
    (folder / "texts.json").write_text(json.dumps(texts))
    # MindSpore's graphs complain when they are taken apart at the end of the interpreter.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
