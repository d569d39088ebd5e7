"""Continues a prompt, character by character: the model is called in a loop until a line ends."""

import numpy as np

from mindspore_serving.server import register

WINDOW, END, MAX_LENGTH = 32, ord("\n"), 256

model = register.declare_model(model_file="zen.mindir", model_format="MindIR")


def encode(prompt):
    """Text to the codes of its characters, int32; raises UnicodeEncodeError beyond ASCII."""
    return np.frombuffer(prompt.encode("ascii"), np.uint8).astype(np.int32)


def decode(codes):
    """Codes to text."""
    return "".join(map(chr, codes))


def window_of(codes):
    """What the model sees: the last codes, behind zeros when there are few."""
    seen = codes[-WINDOW:]
    return np.pad(seen, (WINDOW - len(seen), 0))


def is_long(codes, max_length):
    """Whether a text has as many characters as were asked for, or as anybody gets."""
    return len(codes) >= min(max_length.item(), MAX_LENGTH)


def generate_one(codes, max_length):
    """One call of the model for each character of one text."""
    while not is_long(codes, max_length):
        following = np.argmax(model.call(window_of(codes)))
        if following == END:
            break
        codes = np.append(codes, np.int32(following))
    return codes


def generate_several(instances):
    """One call of the model for the next characters of all texts that are not complete."""
    texts = [codes for codes, _ in instances]
    going = [at for at, instance in enumerate(instances) if not is_long(*instance)]
    while going:
        scores = model.call([[window_of(texts[at])] for at in going])
        following = {at: np.argmax(score) for at, (score,) in zip(going, scores, strict=True)}
        going = [at for at in going if following[at] != END]
        for at in going:
            texts[at] = np.append(texts[at], np.int32(following[at]))
        going = [at for at in going if not is_long(texts[at], instances[at][1])]
    return texts


@register.register_method(output_names=["text"])
def generate(prompt, max_length):
    """prompt: ASCII text; max_length: an integer; text: of at most so many characters, and 256."""
    codes = register.add_stage(encode, prompt, outputs_count=1)
    codes = register.add_stage(generate_one, codes, max_length, outputs_count=1)
    return register.add_stage(decode, codes, outputs_count=1)


@register.register_method(output_names=["text"])
def generate_batch(prompt, max_length):
    """The same for up to 16 instances at once."""
    codes = register.add_stage(encode, prompt, outputs_count=1)
    codes = register.add_stage(generate_several, codes, max_length, outputs_count=1, batch_size=16)
    return register.add_stage(decode, codes, outputs_count=1)
