"""`agentgym bench`: a suite of tasks, with its score and interval."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentgym.swe.suite import Tally

SUITES = ("swe-mini",)
KINDS = ("functions", "repositories")


def command(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="swe-mini.")],
    agent: Annotated[
        str,
        typer.Option(
            metavar="WHO", help="oracle, noop, cheats, random; all: the first three, as the gate."
        ),
    ] = "oracle",
    only: Annotated[
        str, typer.Option(metavar="KIND", help="functions, or repositories; by default both.")
    ] = "",
    tasks: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rows of other repositories than those of swe-mini."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the first tasks of each kind.")
    ] = None,
    sandbox: Annotated[str, typer.Option(metavar="KIND", help="auto, bwrap, docker.")] = "auto",
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Threads.")] = 4,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write each verdict; what is in it is not done again."),
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write tasks that are bad, and why.")
    ] = None,
) -> None:
    """Send a scripted agent through a suite, and say which tasks cannot be trusted.

    swe-mini is 100 functions, and the repositories that `agentgym make-swe --mini` makes faults in;
    --tasks takes rows of others. A policy plays such tasks as an environment: `agentgym rollout
    swe`.
    """
    from agentgym.cli.common import grid, progress_bar, show, title
    from agentgym.errors import UnknownName
    from agentgym.statistics import wilson
    from agentgym.swe import suite as suites

    if suite not in SUITES:
        raise UnknownName("suite", suite, SUITES)
    if only not in ("", *KINDS):
        raise UnknownName("kind of task", only, KINDS)
    if agent not in suites.AGENTS:
        raise UnknownName("scripted agent", agent, suites.AGENTS)
    entries = []
    if only != "repositories":
        entries += [*suites.functions(sandbox=sandbox)][:limit]
    made = len(entries)
    if only != "functions":
        entries += [*suites.repositories(tasks, sandbox=sandbox)][:limit]
    start = time.monotonic()
    with progress_bar(f"{suite}: {agent}", len(entries)) as step:
        results = suites.run_suite(entries, agent, workers=workers, out=out, told=lambda _: step())
    elapsed_s = time.monotonic() - start
    found = suites.tally(results)
    bad = {result.task: result.problems for result in results if result.problems}
    passed = sum(each.passed for each in found.values())
    verdicts = sum(each.verdicts for each in found.values())
    low, high = wilson(passed, verdicts)
    score = f"{passed / max(verdicts, 1):.1%} [{low:.1%}, {high:.1%}]"
    pace = 60 * len(entries) / max(elapsed_s, 1e-9)
    lines = [
        ("tasks", f"{made} functions, {len(entries) - made} in repositories"),
        ("passed", f"{passed} of {verdicts} verdicts, {score}"),
        ("no verdict", str(sum(each.none for each in found.values()))),
        ("quarantined", str(len(bad))),
        ("fix hidden", f"in the sandboxes of {sum(bool(each.hidden) for each in results)} tasks"),
        ("time", f"{elapsed_s:.1f} s, {pace:.0f} tasks a minute, {workers} workers"),
    ]
    show(title(f"{suite}: {agent}"), grid(lines))
    if len(found) > 1:
        show(title("passed, and signs of tampering"), grid(_by_agent(found)))
    for task, problems in bad.items():
        show(f"{task}: {'; '.join(problems)}")
    unread = Counter(each for result in results for each in result.unread)
    for what, count in unread.items():
        show(f"not searched for the fix, in {count} tasks: {what}")
    if quarantine is not None:
        written = [{"task": task, "problems": problems} for task, problems in bad.items()]
        quarantine.write_text("".join(json.dumps(each) + "\n" for each in written), "utf-8")
    if bad:
        raise typer.Exit(1)


def _by_agent(found: "dict[str, Tally]") -> list[tuple[str, str, str]]:
    """Return a line for each agent and cheat: how often it passed, and what gave it away."""
    return [
        (
            name,
            f"{each.passed} of {each.verdicts}",
            ", ".join(f"{sign} ({count})" for sign, count in each.tamper.most_common()),
        )
        for name, each in found.items()
    ]
