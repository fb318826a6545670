import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.backends.base import Backend, Sample, SampleRequest
from agentgym.backends.scripted import Scripted
from agentgym.errors import ConfigError, EpisodeFailure
from agentgym.render import Renderer
from agentgym.types import Message


def request(session: int = 1, *, max_tokens: int = 50, seed: int = 0) -> SampleRequest:
    return SampleRequest(session, "policy", (1,), (1,), True, (), max_tokens, 1.0, (256,), seed)


def answer(backend: Scripted, asked: SampleRequest) -> Sample:
    [sample] = backend.generate([asked])
    assert isinstance(sample, Sample)
    return sample


def test_it_is_a_backend() -> None:
    assert isinstance(Scripted(["x"]), Backend)


def test_each_session_goes_through_the_list_from_its_start() -> None:
    backend = Scripted(["a", "b"])
    assert [answer(backend, request(1)).text for _ in range(3)] == ["a", "b", "b"]
    assert answer(backend, request(2)).text == "a"
    backend.release([1])
    assert answer(backend, request(1)).text == "a"


def test_a_function_of_the_request() -> None:
    backend = Scripted(lambda asked: f"seed {asked.seed}")
    assert answer(backend, request(seed=7)).text == "seed 7"


def test_a_reply_that_is_a_failure_fails_its_request_only() -> None:
    failure = EpisodeFailure("backend", "gone")
    backend = Scripted(lambda asked: failure if asked.session == 1 else "ok")
    first, second = backend.generate([request(1), request(2)])
    assert first is failure
    assert isinstance(second, Sample)


def test_ids_are_bytes_and_a_stop_token() -> None:
    sample = answer(Scripted(["hé"]), request())
    assert sample.ids == (*"hé".encode(), 256)
    assert sample.finish == "stop"
    assert len(sample.logprobs) == len(sample.ids)
    assert all(value < 0 for value in sample.logprobs)
    assert sample == answer(Scripted(["hé"]), request())


def test_a_cut_sample_has_no_stop_token() -> None:
    sample = answer(Scripted(["hello"]), request(max_tokens=3))
    assert (sample.ids, sample.text, sample.finish) == (tuple(b"hel"), "hel", "length")


def test_it_needs_a_reply() -> None:
    with pytest.raises(ConfigError, match="at least one reply"):
        Scripted([])


@given(st.text(max_size=40).filter(lambda text: "<|" not in text))
def test_bytes_come_back(text: str) -> None:
    tokenizer = Scripted(["x"]).tokenizer
    assert tokenizer.decode(tokenizer.encode(text)) == text.encode("utf-8", "replace").decode()


def test_its_tokenizer_renders_chats() -> None:
    renderer = Renderer(Scripted(["x"]).tokenizer)
    assert renderer.extends
    assert renderer.stop_ids == (256,)
    ids = renderer.first([Message("system", "S"), Message("user", "U")])
    assert ids == (257, ord("S"), 256, 258, ord("U"), 256, 259)
    assert renderer.extend(renderer.reply_ids("go"), "go", [Message("user", "V")]) == (
        258,
        ord("V"),
        256,
        259,
    )
