"""The examples in docstrings are executed."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import agentgym

ROOT = Path(agentgym.__file__).parent


def modules() -> list[str]:
    """Return every module that has an example in it."""
    found = []
    for path in sorted(ROOT.rglob("*.py")) + [
        each
        for folder in ("envs", "tools", "trainers")
        for each in sorted((ROOT / folder).rglob("*.py"))
    ]:
        if re.search(r"^ +>>> ", path.read_text("utf-8"), re.MULTILINE):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(["agentgym", *parts]).removesuffix(".__init__"))
    return sorted(set(found))


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"needs an extra: {error}")
    found = [each for each in doctest.DocTestFinder().find(module) if each.examples]
    assert found, "the examples are not where doctest finds them"
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    for each in found:
        assert not runner.run(each).failed, each.name
