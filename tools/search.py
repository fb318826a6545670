"""Search in a library of passages."""

from typing import Final, Protocol

from agentgym.errors import ConfigError, ToolError

__all__ = ["Search"]

MAX_RESULTS: Final = 20


class Shown(Protocol):
    """A passage."""

    def shown(self) -> str:
        """Return it as the agent sees it."""


class Library(Protocol):
    """Passages, numbered from 0, that can be searched; those of `agentgym.envs.search` are some."""

    def passage(self, number: int, /) -> Shown:
        """Return one passage."""

    def search(self, query: str, count: int, /) -> tuple[int, ...]:
        """Return the numbers of at most `count` passages, the best first."""


class Search:
    """Search a library of passages, e.g. `open_corpus(path)` of `agentgym.envs.search.corpus`."""

    def __init__(self, library: Library, *, results: int = 3) -> None:
        """Search in `library`.

        Args:
            library: what to search.
            results: passages per search, at most 20.

        Raises:
            ConfigError: `results` is no such number.
        """
        if isinstance(results, bool) or not isinstance(results, int):
            raise ConfigError(f"results must be a whole number, got {results!r}")
        if not 1 <= results <= MAX_RESULTS:
            raise ConfigError(f"results must be from 1 to {MAX_RESULTS}, got {results}")
        self.library, self.results = library, results

    def __call__(self, query: str) -> str:
        """Search for passages of text.

        Args:
            query: what to look for, a few words.
        """
        if not query.strip():
            raise ToolError("the query is empty; say what to look for")
        numbers = self.library.search(query, self.results)
        shown = [self.library.passage(number).shown() for number in numbers]
        return "\n".join(shown) or "Nothing was found."
