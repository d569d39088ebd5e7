"""(pure) In which order a method may use the interfaces that came before add_stage."""

from dataclasses import dataclass, field

PREPROCESS = ("call_preprocess", "call_preprocess_pipeline")
SERVABLE = ("call_servable",)
POSTPROCESS = ("call_postprocess", "call_postprocess_pipeline")
INTERFACES = (*PREPROCESS, *SERVABLE, *POSTPROCESS)
_STEPS = (PREPROCESS, SERVABLE, POSTPROCESS)


@dataclass(slots=True)
class OldCalls:
    """What one method has called so far: preprocess, servable, postprocess, each at most once."""

    made: list[str] = field(default_factory=list)
    has_stages: bool = False
    """Whether the method has used add_stage itself."""

    def note_stage(self, method: str) -> None:
        """The method calls add_stage; RuntimeError when it has used an older interface."""
        self.has_stages = True
        self._check_one_generation(method)

    def note(self, method: str, interface: str) -> None:
        """The method calls ``interface``; RuntimeError in the original's words when it may not."""
        step = next(each for each in _STEPS if interface in each)
        if any(each in step for each in self.made):
            raise RuntimeError(
                f"{_failed(method)} {' or '.join(step)} should not be invoked more than once"
            )
        for later in _STEPS[_STEPS.index(step) + 1 :]:
            if any(each in later for each in self.made):
                raise RuntimeError(
                    f"{_failed(method)} {' or '.join(later)} should be invoked after {interface}"
                )
        self.made.append(interface)
        self._check_one_generation(method)

    def check_complete(self) -> None:
        """The method's body has ended; RuntimeError when it prepares for a model it never calls."""
        if self.made and SERVABLE[0] not in self.made:
            raise RuntimeError(f"Not find the invoke of '{SERVABLE[0]}'")

    def _check_one_generation(self, method: str) -> None:
        if self.has_stages and self.made:
            raise RuntimeError(
                f"{_failed(method)} 'add_stage' and '{self.made[0]}' cannot be used in one method,"
                f" use 'add_stage' to replace '{self.made[0]}'"
            )


def _failed(method: str) -> str:
    return f"Check failed in method '{method}',"
