"""(pure) Which servables and versions a worker was told to serve."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """A servable by name, at one version or (0) at those that the policy chooses."""

    name: str
    version: int = 0

    @classmethod
    def parse(cls, text: str) -> "Wanted":
        """NAME or NAME:VERSION; raises ValueError that says what came."""
        name, colon, version = text.partition(":")
        if not name.isidentifier() or (colon and not (version.isdecimal() and int(version) > 0)):
            raise ValueError(f"expected NAME or NAME:VERSION with VERSION from 1 on, got '{text}'")
        return cls(name, int(version) if colon else 0)
