from collections.abc import Iterable, Sequence

import pytest

from agentgym.backends.base import Sample, SampleRequest
from agentgym.backends.routed import Routed
from agentgym.backends.scripted import Scripted
from agentgym.errors import EpisodeFailure, UnknownName, UserError


def request(role: str, session: int = 1) -> SampleRequest:
    return SampleRequest(session, role, (1,), (1,), True, (), 50, 1.0, (256,), 0)


class Noting(Scripted):
    """Notes what it is told, and has a context of its own."""

    def __init__(self, reply: str, max_context: int) -> None:
        super().__init__([reply])
        self.max_context = max_context
        self.batches: list[int] = []
        self.released: list[int] = []
        self.closed = 0

    def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
        self.batches.append(len(requests))
        return super().generate(requests)

    def release(self, sessions: Iterable[int]) -> None:
        self.released += sessions

    def close(self) -> None:
        self.closed += 1


def texts(answers: Sequence[Sample | EpisodeFailure]) -> list[str]:
    return [a.text if isinstance(a, Sample) else a.message for a in answers]


def test_each_role_has_its_backend_and_answers_stay_in_order() -> None:
    one, other = Noting("one", 9), Noting("other", 7)
    backend = Routed({"a": one, "b": other, "c": one}, trained="a")
    asked = [request(role, i) for i, role in enumerate("abcab")]
    assert texts(backend.generate(asked)) == ["one", "other", "one", "one", "other"]
    assert (one.batches, other.batches) == ([3], [2])  # one batch each
    assert backend.max_context == 7
    backend.release(iter([1, 2]))
    backend.close()
    assert one.released == other.released == [1, 2]
    assert one.closed == other.closed == 1


def test_the_version_is_that_of_the_trained_role() -> None:
    one, other = Scripted(["one"]), Scripted(["other"])
    backend = Routed({"a": one, "b": other}, trained="b")
    backend.policy_version = 5
    assert (one.policy_version, other.policy_version, backend.policy_version) == (0, 5, 5)


def test_a_backend_that_breaks_fails_its_own_requests() -> None:
    def broken(asked: SampleRequest) -> str:
        raise RuntimeError("out of memory")

    class Short(Scripted):
        def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
            return []

    scripts = {"a": Scripted(["fine"]), "b": Scripted(broken), "c": Short(["x"])}
    backend = Routed(scripts, trained="a")
    assert texts(backend.generate([request(role) for role in "bac"])) == [
        "RuntimeError: out of memory",
        "fine",
        "0 answers to 1 sample requests",
    ]


def test_mistakes_of_the_user_are_not_episodes_failures() -> None:
    def refuse(asked: SampleRequest) -> str:
        raise UserError("no such model")

    with pytest.raises(UserError, match="no such model"):
        Routed({"a": Scripted(refuse)}, trained="a").generate([request("a")])
    with pytest.raises(UnknownName, match="role with a backend 'b'"):
        Routed({"a": Scripted(["x"])}, trained="a").generate([request("b")])
    with pytest.raises(UnknownName, match="did you mean 'planner'"):
        Routed({"planner": Scripted(["x"])}, trained="planer")
