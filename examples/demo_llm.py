"""A language model in one go: export its graphs, start every service, stream a completion.

``make demo-llm`` runs it. With a terminal it goes on serving until Enter is pressed.
"""

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import openai

from examples.demo import EXAMPLES, Stack, parser_of, step

LLM = EXAMPLES / "llm"
MODEL = "docstrings"
PREFILL = "prefill_1x64x256"
DECODE = ("decode_1x1x256", "decode_8x1x256")
CONFIG = f"""
from mindspore_serving.server import register

register.declare_language_model(
    prefill_model="{PREFILL}.mindir",
    decode_model={[f"{each}.mindir" for each in DECODE]},
    max_model_len=256,
    slots=8,
)
"""
PROMPT = "This module provides"
TOKENS = 64


def main() -> None:
    parser = parser_of("demo_llm", __doc__)
    parser.add_argument(
        "--models",
        type=Path,
        default=LLM / MODEL / "1",
        help="where exported graphs are, or are kept (default: examples/llm/docstrings/1)",
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        demonstrate(options.models, keep=options.keep)
    except KeyboardInterrupt:
        sys.exit(130)


def demonstrate(models: Path, *, keep: bool) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="mindserve-demo-") as folder,
        LanguageStack(Path(folder), models) as stack,
    ):
        stack.export()
        stack.start()
        stack.wait_until_ready()
        stack.call()
        print(f"\nMindserve answers OpenAI's clients at http://{stack.rest_address}/v1, and\n")
        print(
            f"  curl http://{stack.rest_address}/v1/completions"
            f""" -d '{{"model": "{MODEL}", "prompt": "Return the", "max_tokens": 24}}'\n"""
        )
        if keep:
            input("Press Enter to stop. ")


class LanguageStack(Stack):
    """Master, worker and one agent, for the language model of ``examples/llm``."""

    def __init__(self, folder: Path, models: Path) -> None:
        super().__init__(folder)
        self.models = models

    def export(self) -> None:
        """Graphs are kept: the second time there is nothing to do."""
        wanted = [self.models / f"{each}.mindir" for each in (PREFILL, *DECODE)]
        if not all(map(is_new, (*wanted, self.models / "tokenizer.json"))):
            print("exporting the graphs of the language model with MindSpore:", flush=True)
            buckets = [each.stem.partition("_")[2] for each in wanted]
            new = self.folder / "new"
            self.run(["-m", "examples.llm.export", "--output", str(new), "--buckets", *buckets])
            self.models.mkdir(parents=True, exist_ok=True)
            for each in new.iterdir():
                shutil.copy(each, self.models)
        servable = self.folder / "servables" / MODEL
        servable.mkdir(parents=True)
        (servable / "1").symlink_to(self.models.resolve())
        (servable / "servable_config.py").write_text(CONFIG)

    def start(self) -> None:
        with step("starting master, worker and an agent"):
            self.serve_master()
            self.serve_worker(self.folder / "servables", "--fail-fast")
            self.serve("agent", "--worker", self.worker, "--first-load-must-succeed")

    def wait_until_ready(self) -> None:
        with step("waiting until the agent has loaded the graphs"):
            self.wait_for(MODEL)

    def call(self) -> None:
        """Stream a completion, as any user of OpenAI's client does."""
        client = openai.OpenAI(base_url=f"http://{self.rest_address}/v1", api_key="none")
        print(f"\n{PROMPT}", end="", flush=True)
        began, first, tokens = time.monotonic(), 0.0, 0
        for chunk in client.completions.create(
            model=MODEL, prompt=PROMPT, max_tokens=TOKENS, temperature=0, stream=True,
            stream_options={"include_usage": True}, extra_body={"repetition_penalty": 1.1},
        ):  # fmt: skip
            if chunk.choices:
                first = first or time.monotonic() - began
                print(chunk.choices[0].text, end="", flush=True)
            if chunk.usage:
                tokens = chunk.usage.completion_tokens
        seconds = time.monotonic() - began
        print(
            f"\n\n{tokens} tokens in {seconds:.2f} s, the first after {1000 * first:.0f} ms",
            flush=True,
        )


def is_new(file: Path) -> bool:
    """Whether it is there, and was made after all that it is made of."""
    sources = [*LLM.glob("*.py"), *LLM.glob("*.npz")]
    made_of = max(each.stat().st_mtime for each in sources)
    return file.exists() and file.stat().st_mtime > made_of


if __name__ == "__main__":
    main()
