"""Several backends behind one: the requests of each role go to a backend of its own."""

from collections.abc import Iterable, Mapping, Sequence

from agentgym.backends.base import Backend, Sample, SampleRequest
from agentgym.errors import EpisodeFailure, UnknownName, UserError

__all__ = ["Routed"]


class Routed:
    """Sends each request to the backend of its role.

    The role `trained` is the one whose weights move: `policy_version` is that of its backend, the
    others keep theirs. A backend that raises fails its own requests and no others.

    >>> from agentgym.backends.scripted import Scripted
    >>> scripts = {"planner": Scripted(["search: Ada"]), "verifier": Scripted(["stop"])}
    >>> Routed(scripts, trained="planner").policy_version
    0
    """

    def __init__(self, backends: Mapping[str, Backend], *, trained: str) -> None:
        """Take the backends by role; one may serve several.

        Raises:
            UnknownName: the trained role has no backend.
        """
        if trained not in backends:
            raise UnknownName("role with a backend", trained, backends)
        self.backends, self.trained = dict(backends), trained

    @property
    def policy_version(self) -> int:
        """Optimizer steps that the trained role's weights have seen."""
        return self.backends[self.trained].policy_version

    @policy_version.setter
    def policy_version(self, version: int) -> None:
        self.backends[self.trained].policy_version = version

    @property
    def max_context(self) -> int | None:
        """The shortest context of all, in tokens; None: none of them says."""
        known = [getattr(backend, "max_context", None) for backend in self.backends.values()]
        return min((length for length in known if length is not None), default=None)

    def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
        """Answer each request, in order; one batch per backend.

        Raises:
            UnknownName: a request of a role that has no backend.
        """
        places: dict[int, list[int]] = {}
        for place, request in enumerate(requests):
            if request.role not in self.backends:
                raise UnknownName("role with a backend", request.role, self.backends)
            places.setdefault(id(self.backends[request.role]), []).append(place)
        answers: dict[int, Sample | EpisodeFailure] = {}
        for mine in places.values():
            backend = self.backends[requests[mine[0]].role]
            given = _ask(backend, [requests[place] for place in mine])
            answers.update(zip(mine, given, strict=True))
        return [answers[place] for place in range(len(requests))]

    def release(self, sessions: Iterable[int]) -> None:
        """Forget sessions; a backend ignores those that it does not know."""
        gone = list(sessions)
        for backend in self._each():
            backend.release(gone)

    def close(self) -> None:
        """Close all of them."""
        for backend in self._each():
            backend.close()

    def _each(self) -> Iterable[Backend]:
        return {id(backend): backend for backend in self.backends.values()}.values()


def _ask(backend: Backend, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
    try:
        answers = backend.generate(requests)
    except UserError:
        raise
    except Exception as error:
        return [EpisodeFailure("backend", f"{type(error).__name__}: {error}")] * len(requests)
    if len(answers) != len(requests):
        message = f"{len(answers)} answers to {len(requests)} sample requests"
        return [EpisodeFailure("backend", message)] * len(requests)
    return answers
