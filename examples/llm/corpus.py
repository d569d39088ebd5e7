"""The text that the model learns: what Python's standard library says about itself.

Docstrings of every module, class and function, read from the source without importing it, in the
order of the files; and the chapters of the language reference that ``help()`` shows. Any Python
has them. The order and the split never change for the same version of Python.
"""

import ast
import inspect
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

END_OF_TEXT = "<|endoftext|>"
TURN_BEGINS = "<|im_start|>"
TURN_ENDS = "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_BEGINS, TURN_ENDS)
"""Their ids are 0, 1 and 2."""

QUESTIONS = ("What does {} do?", "What is {}?", "Explain {}.", "How do I use {}?")
HELD_OUT = 50
"""One in so many entries is kept from training, to measure the loss on."""
LONGEST_ANSWER = 400
"""Characters; a longer first paragraph makes no dialogue."""

_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo"}
_LEFT_OUT |= {"pydoc_data", "encodings"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that has a docstring."""

    name: str
    """With its module: ``json.dumps``."""
    heading: str
    """The name and, of a function, its parameters."""
    text: str

    def page(self) -> str:
        """As ``help()`` would show it."""
        return f"{self.heading}\n\n{self.text}"

    def answer(self) -> str:
        """The first paragraph in one line."""
        return " ".join(self.text.split("\n\n")[0].split())


def entries() -> Iterator[Entry]:
    """Every docstring of the standard library, file by file and from top to bottom."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        if _LEFT_OUT.isdisjoint(parts):
            module = ".".join(part for part in parts if part != "__init__")
            yield from _entries_of(ast.parse(path.read_bytes()), module)


def _entries_of(node: ast.AST, name: str) -> Iterator[Entry]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text:
            parameters = f"({ast.unparse(node.args)})" if hasattr(node, "args") else ""
            yield Entry(name, name + parameters, text.strip())
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _entries_of(child, f"{name}.{child.name}")


def pages() -> Iterator[str]:
    """Plain text without special tokens, for the tokenizer to learn from."""
    for entry in entries():
        yield entry.page()
    for _, chapter in sorted(topics.items()):
        yield inspect.cleandoc(chapter)


def question(text: str) -> str:
    """What stands before an answer, as the chat template of ``tokenizer_config.json`` writes it."""
    return f"{TURN_BEGINS}user\n{text}{TURN_ENDS}\n{TURN_BEGINS}assistant\n"


def dialogue(asked: str, answer: str) -> str:
    """A question, its answer, and the end."""
    return f"{question(asked)}{answer}{TURN_ENDS}\n{END_OF_TEXT}"


def documents() -> tuple[list[str], list[str]]:
    """What to train on and what to measure the loss on, each document with its last token."""
    training: list[str] = []
    held_out: list[str] = []
    for number, entry in enumerate(entries()):
        split = training if number % HELD_OUT else held_out
        split.append(entry.page() + END_OF_TEXT)
        answer = entry.answer()
        if len(answer) <= LONGEST_ANSWER:
            asked = QUESTIONS[number % len(QUESTIONS)].format(entry.name)
            split.append(dialogue(asked, answer))
    for _, chapter in sorted(topics.items()):
        training.append(inspect.cleandoc(chapter) + END_OF_TEXT)
    return training, held_out
