"""What a fuzzing has tried."""

from dataclasses import dataclass


@dataclass
class Tally:
    """What has been tried."""

    connections: int = 0
    frames: int = 0
    """For the RESTful entrance, answers."""
    faults: int = 0
    failures: int = 0

    def __str__(self) -> str:
        return (
            f"{self.connections} connections, {self.frames} frames, "
            f"{self.faults} ended for a fault, {self.failures} failures"
        )
