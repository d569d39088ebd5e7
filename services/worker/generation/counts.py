"""(pure) What a scheduler counts, for those who watch it."""

from dataclasses import astuple, dataclass


@dataclass(slots=True)
class Counts:
    """Totals since the scheduler was made."""

    preemptions: int = 0
    computed_tokens: int = 0
    """Of prompts and of completions, those computed again included."""
    prefix_queries: int = 0
    """Tokens of sequences that started, ..."""
    prefix_hits: int = 0
    """... and how many of them were loaded instead of computed."""
    proposed_tokens: int = 0
    accepted_tokens: int = 0
    hand_overs: int = 0
    """Sequences whose cache came from another agent."""
    transferred_tokens: int = 0
    transferred_bytes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*map(sum, zip(astuple(self), astuple(other), strict=True)))
