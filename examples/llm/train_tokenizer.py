"""Makes ``tokenizer.json`` from the corpus: ``python -m examples.llm.train_tokenizer``, seconds.

A byte-level BPE: every text has tokens, and comes back from them byte for byte.
"""

import argparse
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from examples.llm.corpus import SPECIAL_TOKENS, pages

VOCABULARY = 2048
TOKENIZER = Path(__file__).with_name("tokenizer.json")


def train(vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pages(), trainer)
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY, help="tokens, 259 at least")
    parser.add_argument("--output", type=Path, default=TOKENIZER)
    options = parser.parse_args()
    tokenizer = train(options.vocabulary)
    tokenizer.save(str(options.output))
    print(f"wrote {options.output.name}: {tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
