"""Models behind HTTP: any server with the OpenAI interface, by chat or token by token."""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from agentgym import openai_api
from agentgym.backends.base import Sample, SampleRequest
from agentgym.backends.scripted import Bytes
from agentgym.errors import EpisodeFailure, UserError
from agentgym.http import CallFailed, Client
from agentgym.openai_api import Unusable
from agentgym.types import JSON

__all__ = ["OpenAIHTTP"]


class OpenAIHTTP:
    """Samples from a model that a server with the OpenAI interface offers.

    Without a tokenizer it sends the messages of a request to `chat/completions`. Such a server
    keeps its tokens to itself, and nothing stands in for them: a `Sample` has its text and how it
    ended, while `ids` and `logprobs` are empty. It plays and benchmarks; it cannot be trained on,
    and limits that count tokens of an episode have nothing to count.

    With the tokenizer of the model it sends the request's token ids to `completions` and wants back
    token ids and their log-probabilities, which vLLM gives (`return_token_ids`): a whole `Sample`.
    The log-probabilities are the server's. vLLM's are at temperature 1 unless it was started with
    `--logprobs-mode processed_logprobs`; they are those of `Sample` then, or at temperature 1.

    A seed is passed on as its remainder by 2^31, a number that every server can hold; whether it is
    heeded is up to the server.

    Attributes:
        tokenizer: what `Renderer` takes: the model's, or one without tokens.
        policy_version: 0, unless somebody who changes the server's weights sets it.
        max_context: tokens of prompt and sample together, if the server says; else None.
    """

    def __init__(
        self,
        url: str,
        model: str,
        tokenizer: Any = None,
        *,
        key_env: str = "OPENAI_API_KEY",
        concurrency: int = 64,
        timeout_s: float = 600.0,
        retries: int = 5,
        backoff_s: float = 0.5,
        longest_wait_s: float = 60.0,
        budget_calls: int | None = None,
        budget_tokens: int | None = None,
        fields: Mapping[str, JSON] | None = None,
    ) -> None:
        """Ask the server for its models, so that mistakes are found now.

        Args:
            url: of the interface, mostly ending in /v1.
            model: its name there.
            tokenizer: the model's own, of `transformers`, to sample token by token.
            key_env: the environment variable that holds the key; unset: no key is sent.
            concurrency: calls at once.
            timeout_s: of one try of a call.
            retries: further tries after status 408, 425, 429, 500, 502, 503, 504 or 529, a
                connection that breaks, no answer in time, or one that is not JSON.
            backoff_s: the pause before the second try; doubles, with jitter.
            longest_wait_s: no pause is longer; a server that asks for more fails the call.
            budget_calls: most calls in all, repeated ones included.
            budget_tokens: no call is sent once the answers have cost so many, prompts included;
                those under way then are waited for and may pass it.
            fields: more fields of every request, in place of ours of the same name; None leaves a
                field out: {"max_tokens": None, "max_completion_tokens": 1000}.

        Raises:
            UserError: nobody answers there, the key is refused, there is no such model, or with a
                tokenizer: it does not give token ids and log-probabilities.
        """
        self.model, self.tokenizer = model, tokenizer or NoTokens()
        self.policy_version = 0
        self.max_context: int | None = None
        self._by_token = tokenizer is not None
        self._fields = dict(fields or {})
        self._needs_usage = budget_tokens is not None
        self._client = Client(
            url,
            key_env=key_env,
            concurrency=concurrency,
            timeout_s=timeout_s,
            retries=retries,
            backoff_s=backoff_s,
            longest_wait_s=longest_wait_s,
            budget_calls=budget_calls,
            budget_tokens=budget_tokens,
        )
        try:
            self._client.run(self._try_out(key_env))
        except BaseException:
            self._client.close()
            raise

    @classmethod
    def named(cls, word: str, **options: Any) -> "OpenAIHTTP":
        """Return the model that a word means: `openai:http://127.0.0.1:8000/v1#my-model`.

        Raises:
            UserError: it has another form, or as the constructor.
        """
        url, model = openai_api.address(word)
        return cls(url, model, **options)

    def __repr__(self) -> str:
        return f"OpenAIHTTP({self._client.url!r}, {self.model!r})"

    @property
    def calls(self) -> int:
        """Calls so far, repeated ones and those of the start included."""
        return self._client.calls

    @property
    def tokens(self) -> int:
        """Tokens of prompts and samples so far, as far as the server says."""
        return self._client.tokens

    def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
        """Answer each request, in order; those without a usable answer by their failure.

        Raises:
            UserError: the budget is spent, or cannot be kept because the server counts no tokens.
        """
        return self._client.run(self._all(list(requests)))

    def release(self, sessions: Iterable[int]) -> None:
        """Nothing is kept of a session."""

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    # ------------------------------------------------------------------------------------------

    async def _try_out(self, key_env: str) -> None:
        entry = await openai_api.model_entry(self._client, self.model, key_env)
        length = entry.get("max_model_len")  # vLLM and SGLang say it
        self.max_context = length if type(length) is int and length > 0 else None
        if self._by_token:
            await self._try_tokens()

    async def _try_tokens(self) -> None:
        """Ask for one token, to see whether ids and log-probabilities come back."""
        ids = tuple(self.tokenizer("a", add_special_tokens=False)["input_ids"])
        request = SampleRequest(0, "", ids, ids, True, (), 1, 1.0, (), 0)
        answer = await self._answer(request)
        if isinstance(answer, EpisodeFailure):
            raise UserError(
                f"{self._client.url} cannot be sampled token by token: {answer.message}; without a "
                "tokenizer it can play through chat"
            )

    async def _all(self, requests: list[SampleRequest]) -> list[Sample | EpisodeFailure]:
        """Send all; calls that are paid for are waited for even if another one raises."""
        answers = await asyncio.gather(*map(self._answer, requests), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, EpisodeFailure):
                raise answer
        return cast(list[Sample | EpisodeFailure], answers)

    async def _answer(self, request: SampleRequest) -> Sample | EpisodeFailure:
        path, body = self._by_ids(request) if self._by_token else self._by_chat(request)
        try:
            if self._by_token and not (request.context_ids and body["max_tokens"] > 0):
                raise Unusable(
                    f"a prompt of {len(request.context_ids)} tokens and max_tokens="
                    f"{request.max_tokens} leave nothing to sample in a context of "
                    f"{self.max_context}"
                )
            body = {key: v for key, v in {**body, **self._fields}.items() if v is not None}
            answer = await self._client.call("POST", path, body)
            self._count(answer)
            choice = openai_api.only_choice(answer)
            return self._sample(request, choice) if self._by_token else self._said(choice)
        except (CallFailed, Unusable) as error:
            return EpisodeFailure("backend", self._client.without_key(str(error)))

    def _by_chat(self, request: SampleRequest) -> tuple[str, dict[str, Any]]:
        return "/chat/completions", {
            "model": self.model,
            "messages": [openai_api.plain(message) for message in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": openai_api.seed31(request.seed),
        }

    def _by_ids(self, request: SampleRequest) -> tuple[str, dict[str, Any]]:
        room = request.max_tokens
        if self.max_context is not None:
            room = min(room, self.max_context - len(request.context_ids))
        return "/completions", {
            "model": self.model,
            "prompt": list(request.context_ids),
            "max_tokens": room,
            "temperature": request.temperature,
            "seed": openai_api.seed31(request.seed),
            "stop_token_ids": list(request.stop_ids),
            "ignore_eos": True,  # the stop ids, and nothing else, end a sample
            "return_token_ids": True,
            "logprobs": 0,  # of the sampled tokens alone
            # The whole distribution: servers else take these from the model's folder.
            "top_p": 1.0,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
        }

    def _count(self, answer: Any) -> None:
        """Charge what an answer cost.

        Raises:
            UserError: there is a budget of tokens, and the server does not say.
        """
        total = openai_api.tokens_spent(answer)
        if total is not None:
            self._client.charge(total)
        elif self._needs_usage:
            raise UserError(
                f"a budget of tokens cannot be kept: {self._client.url} does not say what an "
                "answer cost (usage.total_tokens); use budget_calls"
            )

    def _said(self, choice: dict[str, Any]) -> Sample:
        """Return what a chat server answered."""
        text = openai_api.content(choice)
        return Sample((), (), text, openai_api.finish(choice), self.policy_version)

    def _sample(self, request: SampleRequest, choice: dict[str, Any]) -> Sample:
        """Return what was sampled token by token, if it is what was asked for."""
        ids = choice.get("token_ids")
        held = choice.get("logprobs")
        values = held.get("token_logprobs") if isinstance(held, dict) else None
        if not isinstance(ids, list) or not all(type(i) is int and i >= 0 for i in ids) or not ids:
            raise Unusable("an answer without token_ids")
        if not isinstance(values, list) or len(values) != len(ids):
            raise Unusable("an answer without a log-probability for each token")
        if not all(type(v) in (int, float) and math.isfinite(v) for v in values):
            raise Unusable("log-probabilities that are no finite numbers")
        echoed = choice.get("prompt_token_ids")
        if echoed is not None and echoed != list(request.context_ids):
            raise Unusable("the server sampled after another prompt than the one it was sent")
        stopped = ids[-1] in request.stop_ids
        if (openai_api.finish(choice) == "stop") != stopped or set(ids[:-1]) & set(
            request.stop_ids
        ):
            raise Unusable(
                f"finish_reason {choice['finish_reason']!r} does not fit its tokens: the last is "
                f"{ids[-1]}, stop tokens are {list(request.stop_ids)}"
            )
        text: str = self.tokenizer.decode(
            ids[:-1] if stopped else ids,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        return Sample(
            ids=tuple(ids),
            logprobs=tuple(min(0.0, float(value)) for value in values),
            text=text,
            finish="stop" if stopped else "length",
            policy_version=self.policy_version,
        )


class NoTokens(Bytes):
    """A tokenizer that makes no tokens of any text: those of the server are not known."""

    name_or_path = "a model behind HTTP"

    def encode(self, text: str) -> tuple[int, ...]:
        """Return nothing."""
        return ()
