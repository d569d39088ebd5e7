"""The sequences that have slots, and what is known of each."""

from services.agent.generation.grammars import GrammarError, Grammars, Matcher
from services.agent.generation.sampling import Chooser, Floats, NoToken
from services.agent.generation.sampling_check import wrong_with
from services.agent.generation.steps import Start


class Sequence:
    """One text that is being continued."""

    __slots__ = (
        "adapter", "chooser", "complete", "computed", "failure", "logprobs", "matcher", "plain",
        "prompt_logprobs", "prompt_tokens", "tokens", "wrong",
    )  # fmt: skip

    def __init__(
        self,
        start: Start,
        vocabulary: int,
        grammars: Grammars | None,
        *,
        chooses: bool = True,
    ) -> None:
        """A sequence that cannot be continued says so in ``failure``.

        Where another rank ``chooses`` its tokens, only what every rank finds wrong is known.
        """
        sampling = start.sampling
        self.tokens = start.tokens
        """The prompt's, then those that were chosen."""
        self.prompt_tokens = start.prompt_tokens
        self.computed = 0
        """How many of them are in the cache."""
        self.complete = False
        """Whether its grammar allows nothing more."""
        self.adapter = start.adapter
        self.logprobs = sampling.logprobs
        self.prompt_logprobs = sampling.prompt_logprobs
        self.matcher: Matcher | None = None
        self.chooser: Chooser | None = None
        self.plain = False
        """Whether its next token is the most likely one, whatever it is."""
        self.failure = wrong_with(start, vocabulary)
        self.wrong = bool(self.failure)
        """Whether it can never be computed; all ranks of a gang know."""
        if self.wrong or not chooses:
            return
        prompt, generated = self.tokens[: self.prompt_tokens], self.tokens[self.prompt_tokens :]
        self.chooser = Chooser(sampling, vocabulary, prompt, generated)
        self.plain = self.chooser.plain
        if sampling.grammar is not None:
            try:
                if grammars is None:
                    raise GrammarError("grammar: the model was declared without a tokenizer")
                self.matcher = grammars.matcher(sampling.grammar, sampling.stop_ids, generated)
            except (GrammarError, NoToken) as failure:
                self.failure = str(failure)

    @property
    def ended(self) -> bool:
        """Whether no token is chosen for it any more."""
        return self.complete or bool(self.failure)

    @property
    def may_end(self) -> bool:
        """Whether it has a grammar that it fits as it is."""
        return self.matcher is not None and self.matcher.fits

    def choose(self, logits: Floats) -> int:
        """The token that follows, by logits [V]; raises NoToken."""
        assert self.chooser is not None, "sequences that failed are passed over"
        grammar = None if self.matcher is None else self.matcher.allowed()
        return self.chooser.choose(logits, len(self.tokens), grammar)

    def take(self, token: int) -> None:
        """Go on with this token; raises NoToken when the grammar does not allow it."""
        self.tokens.append(token)
        if self.plain or self.chooser is None:
            return
        self.chooser.took(token)
        if self.matcher is not None:
            self.matcher.took(token)
            self.complete = self.matcher.complete
        self.plain = self.chooser.plain
