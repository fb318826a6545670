"""JSON over HTTP, many calls at once: retries, a budget, and a key that nobody sees.

One thread runs one event loop for all calls of a client; callers on any thread wait for it.
"""

import asyncio
import datetime
import email.utils
import json
import os
import random
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

from agentgym.errors import ConfigError, UserError

T = TypeVar("T")

TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Status codes of answers that another try may change."""

MOST_BYTES = 64 * 2**20
"""Of one answer; a server that sends more is not listened to."""


class CallFailed(Exception):
    """A call without a usable answer; its message holds no key."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        again: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        self.status, self.again, self.retry_after_s = status, again, retry_after_s
        super().__init__(message)


class Client:
    """Calls one server.

    Attributes:
        calls: requests sent so far, repeated ones included.
        tokens: what the answers have cost so far, as `charge` was told.
    """

    def __init__(
        self,
        url: str,
        *,
        key_env: str,
        concurrency: int,
        timeout_s: float,
        retries: int,
        backoff_s: float,
        longest_wait_s: float,
        budget_calls: int | None,
        budget_tokens: int | None,
    ) -> None:
        """Start the thread; nothing is sent. Arguments as those of `OpenAIHTTP`.

        Raises:
            ConfigError: an address or a number that cannot be meant, or aiohttp is missing.
        """
        try:
            import aiohttp
        except ImportError as error:
            raise ConfigError(
                "models behind HTTP need aiohttp: pip install 'agentgym[http]'"
            ) from error
        _check_url(url)
        for name, number, least in (
            ("concurrency", concurrency, 1),
            ("timeout_s", timeout_s, 0),
            ("retries", retries, 0),
            ("backoff_s", backoff_s, 0),
            ("longest_wait_s", longest_wait_s, 0),
            ("budget_calls", budget_calls, 1),
            ("budget_tokens", budget_tokens, 1),
        ):
            if number is not None and not number >= least:
                raise ConfigError(f"{name} must be at least {least}, got {number!r}")
        self.url = url.rstrip("/")
        self.calls = self.tokens = 0
        self._budget_calls, self._budget_tokens = budget_calls, budget_tokens
        self._timeout_s, self._retries = timeout_s, retries
        self._backoff_s, self._longest_wait_s = backoff_s, longest_wait_s
        self._key = _key(key_env)
        self._random = random.Random()  # of pauses alone; nothing that is sampled depends on it
        self._gate = asyncio.Semaphore(concurrency)
        self._aiohttp = aiohttp
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="agentgym-http", daemon=True
        )
        self._thread.start()
        self._closed = False
        self._session = self.run(self._open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the loop's thread and wait for it.

        Raises:
            UserError: the client is closed.
        """
        if self._closed:
            work.close()
            raise UserError("this backend is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # e.g. after Ctrl-C: what is under way is not waited for
            raise

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON of an answer, asking again where that may help.

        Raises:
            CallFailed: there is none.
            UserError: the budget is spent.
        """
        async with self._gate:
            tried = 0
            while True:
                self._charge_call()
                tried += 1
                try:
                    return await self._once(method, path, body)
                except CallFailed as error:
                    if not error.again:
                        raise
                    if tried > self._retries:
                        times = f"{tried} tries" if tried > 1 else "one try"
                        message = f"{error} (after {times})"
                        raise CallFailed(message, status=error.status) from None
                    pause_s = self.pause_s(tried, error.retry_after_s)
                    if (error.retry_after_s or 0) > self._longest_wait_s:
                        message = (
                            f"{error} (it asks to wait {error.retry_after_s:g} s, over "
                            f"longest_wait_s={self._longest_wait_s:g})"
                        )
                        raise CallFailed(message, status=error.status) from None
                await asyncio.sleep(pause_s)

    def pause_s(self, tried: int, retry_after_s: float | None) -> float:
        """Return how long to wait after so many tries, in seconds.

        The pause doubles with every try up to `longest_wait_s`; a random part of up to a half is
        taken off, so that calls that failed together do not come back together. What the server
        asks for is waited for in full, and the pause of the first try at most on top of it.
        """
        part = self._random.uniform(0.5, 1.0)
        if retry_after_s is not None:
            return retry_after_s + part * self._backoff_s
        return part * min(self._longest_wait_s, self._backoff_s * 2.0 ** min(tried - 1, 60))

    def charge(self, tokens: int) -> None:
        """Count tokens that an answer has cost."""
        self.tokens += tokens

    def without_key(self, text: str) -> str:
        """Return a text in which the key, if it is there, is blacked out."""
        return text.replace(self._key, "[key]") if self._key else text

    def close(self) -> None:
        """End the thread and its connections; closing twice is harmless."""
        if self._closed:
            return
        self.run(self._close())
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ------------------------------------------------------------------------------------------

    async def _open(self) -> Any:
        aiohttp = self._aiohttp
        return aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else None,
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            connector=aiohttp.TCPConnector(limit=0),  # the gate holds calls back
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def _close(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._session.close()

    def _charge_call(self) -> None:
        """Count a call that is about to be sent.

        Raises:
            UserError: it would pass the budget.
        """
        for what, spent, budget in (
            ("calls", self.calls, self._budget_calls),
            ("tokens", self.tokens, self._budget_tokens),
        ):
            if budget is not None and spent >= budget:
                raise UserError(
                    f"the budget of {budget:,} {what} at {self.url} is spent ({self.calls:,} calls "
                    f"and {self.tokens:,} tokens so far); a larger budget_{what} lets it go on"
                )
        self.calls += 1

    async def _once(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """Send one request. Redirects are not followed: they could carry the key elsewhere."""
        raw = bytearray()
        try:
            async with self._session.request(
                method, self.url + path, json=body, allow_redirects=False
            ) as response:
                async for chunk in response.content.iter_chunked(2**16):
                    raw += chunk
                    if len(raw) > MOST_BYTES:
                        raise CallFailed(f"an answer of more than {MOST_BYTES:,} bytes")
        except TimeoutError:
            raise CallFailed(f"no answer within {self._timeout_s:g} s", again=True) from None
        except self._aiohttp.ClientError as error:
            # not chained: such errors carry the headers that were sent
            message = self.without_key(f"{type(error).__name__}: {error}")
            raise CallFailed(message, again=True) from None
        status = response.status
        if not 200 <= status < 300:
            raise CallFailed(
                self.without_key(f"status {status}: {_reason(raw)}"),
                status=status,
                again=status in TRY_AGAIN,
                retry_after_s=_seconds(response.headers.get("Retry-After")),
            )
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            shown = self.without_key(raw.decode("utf-8", "replace"))[:200]
            raise CallFailed(f"an answer that is not JSON: {shown!r}", again=True) from None


def _check_url(url: str) -> None:
    """Refuse what is no plain web address; an address with a secret in it is not repeated."""
    try:
        parts = urlsplit(url)
        secret = parts.username or parts.password or parts.query
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.fragment
    except ValueError:
        secret, good = None, False
    if secret:
        raise ConfigError(
            "the address of a server must hold no user, password or query; a key is taken from "
            "the environment"
        )
    if not good:
        raise ConfigError(
            f"{url!r} is not the address of a server; one looks like http://127.0.0.1:8000/v1"
        )


def _key(name: str) -> str:
    """Return the key in an environment variable, "" if there is none."""
    key = os.environ.get(name, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"the key in {name} holds characters that no key has")
    return key


def _reason(raw: bytes | bytearray) -> str:
    """Return what an answer says about its error, in few words."""
    text = raw.decode("utf-8", "replace").strip()
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        inner = said.get("error", said)
        if isinstance(inner, dict):
            inner = inner.get("message", inner.get("detail"))
        if isinstance(inner, str):
            text = inner
    return text[:300] or "(nothing more)"


def _seconds(header: str | None) -> float | None:
    """Return what a Retry-After header asks for, in seconds; it holds a number or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            then = email.utils.parsedate_to_datetime(header)
        except ValueError:
            return None
        if then.tzinfo is None:
            then = then.replace(tzinfo=datetime.UTC)
        seconds = (then - datetime.datetime.now(datetime.UTC)).total_seconds()
    return max(0.0, seconds) if seconds == seconds else None
