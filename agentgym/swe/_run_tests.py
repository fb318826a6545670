"""Runs inside a sandbox: chosen tests by pytest, with one line per test to the host.

The code under test shares this process, and can in the end do anything to it. What is done here
makes that hard and shows most of it: a line counts only with the nonce that came through the input,
lines go to a descriptor of their own, a test that raised cannot be reported as passed, and the
functions of pytest that decide are compared with what they were before any code of the repository
was loaded. The host decides what is expected; see `agentgym.swe.run_tests`.

It runs on the Python of the sandbox: nothing newer than Python 3.8.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_DETAIL = 4000


def main() -> None:
    """Run what the input asks for."""
    asked = json.loads(sys.stdin.buffer.read().decode("ascii"))
    answers = os.dup(1)
    os.set_inheritable(answers, False)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)  # what tests print is no answer
    sys.path[:0] = asked["tools"]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    import pytest

    report = Report(asked.pop("nonce"), answers, frozenset(asked["ids"]), pytest, asked["watch"])
    repo = asked["repo"]
    os.chdir(repo)
    sys.path[:0] = [os.path.join(repo, each) if each else repo for each in asked["roots"]]
    words = ["-p", "no:cacheprovider", "-p", "no:pastebin", "-p", "no:junitxml", "-q", "-q"]
    words += ["--rootdir", repo, "-o", "addopts=", "--tb=short", "--continue-on-collection-errors"]
    status = pytest.main([*words, *asked["paths"]], plugins=[report])
    report.say({"end": int(status)})
    sys.stderr.flush()
    os._exit(0)


class Report:
    """A plugin that tells the host."""

    def __init__(
        self, nonce: str, answers: int, wanted: frozenset[str], pytest: Any, watch: bool
    ) -> None:
        write, dumps = os.write, json.dumps  # as they are now, before anybody changed them

        def say(what: dict[str, Any]) -> None:
            data = (nonce + " " + dumps(what) + "\n").encode("utf-8", "replace")
            while data:
                data = data[write(answers, data) :]

        self.say = say
        self.wanted = wanted
        self.phases: dict[str, dict[str, str]] = {}
        self.details: dict[str, str] = {}
        self.raised: set[str] = set()
        self.given: dict[str, dict[str, str]] = {}
        self.watch = watch
        self.pure = deciding()

        def pytest_pyfunc_call(pyfuncitem: Any) -> Any:
            try:
                return (yield)
            except BaseException:
                self.raised.add(pyfuncitem.nodeid)
                if not self.watch:
                    self.given[pyfuncitem.nodeid] = given_to(pyfuncitem)
                raise

        self.pytest_pyfunc_call = pytest.hookimpl(wrapper=True, trylast=True)(pytest_pyfunc_call)

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        """Leave only the tests that were asked for; nothing asked for means all."""
        if self.wanted:
            items[:] = [item for item in items if item.nodeid in self.wanted]

    def pytest_collectreport(self, report: Any) -> None:
        """Tell of files that cannot be loaded."""
        if report.failed:
            self.say({"file": report.nodeid, "detail": str(report.longrepr)[-MOST_DETAIL:]})

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take in one phase of a test; tell when it is over."""
        phases = self.phases.setdefault(report.nodeid, {})
        said = str(report.outcome)
        if hasattr(report, "wasxfail"):
            said = "xfailed" if said == "skipped" else "xpassed"
        phases[report.when] = said
        if said == "failed":
            self.details[report.nodeid] = str(report.longrepr)[-MOST_DETAIL:]
        if report.when != "teardown":
            return
        told = {"id": report.nodeid, "outcome": outcome(phases)}
        if report.nodeid in self.details:
            told["detail"] = self.details.pop(report.nodeid)
        if report.nodeid in self.given:
            told["given"] = self.given.pop(report.nodeid)
        tamper = []
        if report.nodeid in self.raised and told["outcome"] == "passed":
            tamper.append("report")
        if self.watch and changed(self.pure):
            tamper.append("test runner")
        if tamper:
            told["tamper"] = tamper
        self.say(told)


def given_to(item: Any) -> dict[str, str]:
    """Return the parameters of a test as Python writes them."""
    callspec = getattr(item, "callspec", None)
    return {name: repr(value)[:200] for name, value in callspec.params.items()} if callspec else {}


def outcome(phases: dict[str, str]) -> str:
    """Return what became of a test: passed only if all of it passed."""
    if phases.get("setup") != "passed":
        said = phases.get("setup", "missing")
        return "error" if said == "failed" else said
    called = phases.get("call", "missing")
    if called == "passed" and phases.get("teardown") != "passed":
        return "error"
    return called


def deciding() -> list[tuple[Any, str, Any, Any]]:
    """Return the functions of pytest that decide, as place, name, function and its code."""
    import _pytest.assertion.rewrite
    import _pytest.python
    import _pytest.reports
    import _pytest.runner
    import _pytest.skipping
    import pluggy._callers
    import pluggy._hooks
    import pluggy._manager

    modules = (
        _pytest.assertion.rewrite, _pytest.python, _pytest.reports, _pytest.runner,
        _pytest.skipping, pluggy._callers, pluggy._hooks, pluggy._manager,
    )  # fmt: skip
    places: list[Any] = [vars(module) for module in modules]
    for module in modules:
        owned = (each for each in vars(module).values() if isinstance(each, type))
        places += [vars(each) for each in owned if each.__module__ == module.__name__]
    found = []
    for place in places:
        for name, value in place.items():
            function = getattr(value, "__func__", value)
            if hasattr(function, "__code__"):
                found.append((place, name, value, function.__code__))
    return found


def changed(known: list[tuple[Any, str, Any, Any]]) -> bool:
    """Return whether one of them is no longer there, or runs other code."""
    return any(
        place.get(name) is not value or getattr(value, "__func__", value).__code__ is not code
        for place, name, value, code in known
    )


main()
