"""What is shown: a curve with its interval and what it is measured on; plain lines elsewhere."""

import io

import pytest
from rich.console import Console

pytest.importorskip("torch")

from agentgym.trainers.curve import draw
from agentgym.trainers.evaluate import Score
from agentgym.trainers.progress import (
    Iteration,
    Lines,
    LivePicture,
    Progress,
    for_terminal,
)

WHAT = "200 held-out worlds of household (tiny, valid_unseen), sampled at temperature 1"


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, height=50)


def play(progress: Progress) -> None:
    """A short run as a progress is told of it."""
    progress.start("quickstart", {"environment": "household"})
    progress.warmstart(1, 2, 3.0)
    progress.warmstart(2, 2, 1.5)
    progress.evaluation(0, WHAT, Score(200, 60, 0, 0.3, 9.0, 0.8), on_curve=True)
    counts = {"episodes masked": "3", "groups without signal": "2 of 16"}
    progress.iteration(Iteration(1, 1, Score(125, 50, 3, 0.4, 9.0, 0.8), counts, 12.0))
    progress.evaluation(1, WHAT, Score(200, 150, 0, 0.75, 9.0, 0.9), on_curve=True)
    progress.say("something odd", warning=True)
    progress.stop()


@pytest.mark.parametrize("terminal", [True, False])
def test_both_forms_show_success_with_interval_and_on_what(terminal: bool) -> None:
    shown = console(terminal=terminal)
    progress = for_terminal(shown)
    assert isinstance(progress, LivePicture if terminal else Lines)
    play(progress)
    assert isinstance(shown.file, io.StringIO)
    text = shown.file.getvalue()
    for expected in (
        "75.0% [68.6%, 80.5%] of 200",
        "40.0% [31.8%, 48.8%] of 125, 3 failed",
        "held-out worlds of household (tiny, valid_unseen)",
        "2 of 16",
        "something odd",
    ):
        assert expected in " ".join(text.split())
    assert ("100% ┤" in text) == terminal
    assert ("\x1b[" in text) == terminal


def test_a_curve_goes_through_its_points() -> None:
    *plot, _, axis = draw([(0, 0.0), (5, 1.0), (10, 0.5)], width=11, height=5)
    assert axis.split() == ["0", "10"]
    columns = [line.split("┤")[-1].split("│")[-1].ljust(11) for line in plot]
    highest = [next(i for i, line in enumerate(columns) if line[x] != " ") for x in (0, 5, 10)]
    assert highest == [4, 0, 2]


def test_intervals_stand_at_their_points() -> None:
    bare = draw([(0, 0.5), (10, 0.5)], width=11, height=5)
    *plot, _, _ = draw(
        [(0, 0.5), (10, 0.5)], intervals=[(0.0, 1.0), (0.5, 0.5)], width=11, height=5
    )
    columns = [line.split("┤")[-1].split("│")[-1].ljust(11) for line in plot]
    assert all(line[0] != " " for line in columns)
    assert [line[10] != " " for line in columns] == [False, False, True, False, False]
    assert bare != plot


@pytest.mark.parametrize("points", [[], [(3, 0.2)], [(0, 0.0), (1, 0.0)], [(0, 2.0), (1, -1.0)]])
def test_a_curve_of_few_or_odd_points_is_drawn(points: list[tuple[float, float]]) -> None:
    assert len(draw(points, width=10, height=4)) == 6
