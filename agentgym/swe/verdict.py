"""What a grader says of a submission."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict. Where none could be reached there is no object, but an `EpisodeFailure` (V24).

    Attributes:
        passed: every expected test passed, and nothing was found that forbids to count it.
        reason: why it did not pass, in a few words; empty if it did.
        tamper: what the submission did to the means of its own judgement, by name, sorted. Names
            that begin with "restored:" were undone before judging and cost nothing.
        results: "passed", or what else became of it, by case or test id.
    """

    passed: bool
    reason: str = ""
    tamper: tuple[str, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
