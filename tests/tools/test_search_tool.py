"""The search tool over the libraries of the search environment."""

from pathlib import Path

import pytest

from agentgym.errors import ConfigError
from agentgym.testing import check_tool
from agentgym.tools.base import Toolset
from agentgym.tools.search import Search

pytest.importorskip("bm25s", reason="needs the extra 'search'")


@pytest.fixture
def search(tmp_path: Path) -> Search:
    from agentgym.envs.search.corpus import open_corpus

    file = tmp_path / "wiki.jsonl"
    file.write_text(
        '{"title": "Tea", "text": "Tea is a drink of leaves."}\n'
        '{"title": "Salt", "text": "Salt comes from the sea."}\n'
        '{"title": "Sea", "text": "The sea is salt water."}\n'
    )
    return Search(open_corpus(file), results=2)


def test_it_shows_the_best_passages(search: Search) -> None:
    tools = Toolset([search])
    assert tools.call("search", {"query": "leaves to drink"}).text == (
        "* Tea: Tea is a drink of leaves."
    )
    assert tools.call("search", {"query": "salt"}).text.count("\n") == 1
    assert tools.call("search", {"query": "xyzzy"}).text == "Nothing was found."
    empty = tools.call("search", {"query": " "})
    assert (empty.status, empty.text) == (
        "refused",
        "error: the query is empty; say what to look for",
    )


def test_it_passes_the_kit(search: Search) -> None:
    check_tool(search, calls=[{"query": "salt"}]).raise_on_failure()


def test_results_have_a_limit(search: Search) -> None:
    for results in (0, 21, True, 1.5):
        with pytest.raises(ConfigError, match="results must be"):
            Search(search.library, results=results)  # type: ignore[arg-type]
