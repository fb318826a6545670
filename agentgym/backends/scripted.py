"""Scripted replies: a backend without a model, for tests, demonstrations and fault injection."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from agentgym.backends.base import Sample, SampleRequest
from agentgym.errors import ConfigError, EpisodeFailure

__all__ = ["Scripted"]

Reply = str | EpisodeFailure


class Scripted:
    """Answers each request with a scripted reply, as if a model had sampled its bytes.

    The replies are a list, which every session goes through from its start (the last one repeats),
    or a function of the request. A reply that is an `EpisodeFailure` fails that request.

    >>> backend = Scripted(["look", "go to desk 1"])
    >>> backend.tokenizer.decode(backend.tokenizer.encode("héllo"))
    'héllo'
    """

    def __init__(
        self,
        replies: Sequence[Reply] | Callable[[SampleRequest], Reply],
        *,
        delay_s: float = 0.0,
    ) -> None:
        """Take the replies; `delay_s` is how long each batch takes."""
        if not callable(replies) and not replies:
            raise ConfigError("Scripted needs at least one reply")
        self._replies = replies
        self._delay_s = delay_s
        self._asked: dict[int, int] = {}
        self.tokenizer = Bytes()
        self.policy_version = 0

    def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
        """Answer each request in order."""
        if self._delay_s:
            time.sleep(self._delay_s)
        return [self._answer(request) for request in requests]

    def release(self, sessions: Iterable[int]) -> None:
        """Forget how far these sessions are."""
        for session in sessions:
            self._asked.pop(session, None)

    def close(self) -> None:
        """Nothing to give back."""

    def _answer(self, request: SampleRequest) -> Sample | EpisodeFailure:
        if callable(self._replies):
            reply = self._replies(request)
        else:
            asked = self._asked.get(request.session, 0)
            self._asked[request.session] = asked + 1
            reply = self._replies[min(asked, len(self._replies) - 1)]
        if isinstance(reply, EpisodeFailure):
            return reply
        whole = (*self.tokenizer.encode(reply), Bytes.END)
        ids = whole[: request.max_tokens]
        stopped = len(ids) == len(whole)
        # Numbers that look like log-probabilities and depend on nothing but the request.
        draws = np.random.Generator(np.random.Philox(request.seed)).random(len(ids))
        return Sample(
            ids=ids,
            logprobs=tuple(float(np.log1p(-0.9 * draw)) for draw in draws),
            text=reply if stopped else self.tokenizer.decode(ids),
            finish="stop" if stopped else "length",
            policy_version=self.policy_version,
        )


class Bytes:
    """A tokenizer whose ids are bytes, with a chat template; what `Renderer` needs and no more."""

    END = 256
    _SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")

    name_or_path = "bytes"
    chat_template = "roles as tokens, <|end|> after every message"
    eos_token_id = END

    def __init__(self) -> None:
        self.added_tokens_decoder: dict[int, Any] = {}
        self.all_special_tokens = list(self._SPECIAL)

    def __len__(self) -> int:
        return 256 + len(self._SPECIAL)

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        """Return the ids as a Hugging Face tokenizer does."""
        return {"input_ids": list(self.encode(text))}

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the UTF-8 bytes, special tokens as one id each."""
        ids: list[int] = []
        rest = text
        while rest:
            starts = {s: i for s in self._SPECIAL if (i := rest.find(s)) >= 0}
            if not starts:
                ids += rest.encode("utf-8", "surrogatepass")
                break
            token = min(starts, key=lambda s: starts[s])
            ids += rest[: starts[token]].encode("utf-8", "surrogatepass")
            ids.append(256 + self._SPECIAL.index(token))
            rest = rest[starts[token] + len(token) :]
        return tuple(ids)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True, **_: object) -> str:
        """Return the text; broken UTF-8 becomes replacement characters."""
        text, run = "", bytearray()
        for i in ids:
            if i < 256:
                run.append(i)
                continue
            text += run.decode("utf-8", "replace")
            run = bytearray()
            text += "" if skip_special_tokens else self._SPECIAL[i - 256]
        return text + run.decode("utf-8", "replace")

    def convert_tokens_to_ids(self, tokens: str | list[str]) -> int | list[int]:
        """Return the ids of special tokens."""
        if isinstance(tokens, str):
            return 256 + self._SPECIAL.index(tokens)
        return [256 + self._SPECIAL.index(token) for token in tokens]

    def apply_chat_template(
        self, chat: Sequence[dict[str, Any]], *, add_generation_prompt: bool = False, **_: object
    ) -> str:
        """Return the chat as text."""
        text = "".join(f"<|{m['role']}|>{m['content']}<|end|>" for m in chat)
        return text + ("<|assistant|>" if add_generation_prompt else "")
