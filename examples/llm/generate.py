"""Continues a text greedily, without a server or MindSpore.

``python -m examples.llm.generate "json.dumps("``; with ``--chat`` the text is a question, for
instance ``"What does os.path.join do?"``.
"""

import argparse
from itertools import takewhile

from tokenizers import Tokenizer

from examples.llm.buckets import Bucket
from examples.llm.corpus import END_OF_TEXT, SPECIAL_TOKENS, question
from examples.llm.numpy_net import NumpyNet
from examples.llm.plain_loop import Loop
from examples.llm.sizes import ADAPTERS, LORA, WEIGHTS
from examples.llm.train_tokenizer import TOKENIZER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--tokens", type=int, default=64, help="at most so many more")
    parser.add_argument("--chat", action="store_true", help="answer a question")
    parser.add_argument("--adapter", choices=ADAPTERS)
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    text = question(options.text) if options.chat else options.text
    prompt = tokenizer.encode(text).ids or [SPECIAL_TOKENS.index(END_OF_TEXT)]
    net = NumpyNet(WEIGHTS, LORA)
    adapters = [1 + ADAPTERS.index(options.adapter)] if options.adapter else None
    loop = Loop(net.extend, net.extend, Bucket(1, 64, len(prompt) + options.tokens))
    [following] = loop.generate([prompt], options.tokens, adapters)
    until_end = takewhile(lambda token: token >= len(SPECIAL_TOKENS), following)
    following_text = tokenizer.decode(list(until_end))
    print(following_text if options.chat else text + following_text)


if __name__ == "__main__":
    main()
