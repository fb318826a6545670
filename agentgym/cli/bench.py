"""`agentgym bench`: a suite of tasks, with its score and interval."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

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
        results = suites.run_suite(entries, agent, workers=workers, told=lambda _: step())
    elapsed_s = time.monotonic() - start
    found = suites.tally(results)
    low, high = wilson(found.passed, found.verdicts)
    rate = found.passed / found.verdicts if found.verdicts else 0.0
    score = f"{rate:.1%} [{low:.1%}, {high:.1%}]"
    pace = 60 * len(entries) / max(elapsed_s, 1e-9)
    lines = [
        ("tasks", f"{made} functions, {len(entries) - made} in repositories"),
        ("passed", f"{found.passed} of {found.verdicts} verdicts, {score}"),
        ("no verdict", str(found.none)),
        ("quarantined", str(len(found.quarantined))),
        ("time", f"{elapsed_s:.1f} s, {pace:.0f} tasks a minute, {workers} workers"),
    ]
    show(title(f"{suite}: {agent}"), grid(lines))
    if found.tamper:
        counted = [(count, name) for name, count in found.tamper.most_common()]
        show(title("signs of tampering"), grid(counted))
    for task, problems in found.quarantined.items():
        show(f"{task}: {'; '.join(problems)}")
    if quarantine is not None:
        bad = [{"task": task, "problems": p} for task, p in found.quarantined.items()]
        quarantine.write_text("".join(json.dumps(each) + "\n" for each in bad), "utf-8")
    if found.quarantined:
        raise typer.Exit(1)
