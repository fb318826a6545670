"""The comparisons of bench/effects: what arms share, what is run again, what the report says."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from agentgym.config import dump_toml
from agentgym.testing import check_env

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def test_arms_share_everything_but_credit(tmp_path: Path) -> None:
    from bench.effects.plan import EFFECTS, jobs

    for effect in EFFECTS.values():
        start, *arms = jobs([effect], [7], tmp_path, {})
        assert all(arm.start is start for arm in arms)
        assert len({arm.folder for arm in arms}) == len(effect.arms)
        shared = [arm.config().model_dump(exclude={"credit"}) for arm in arms]
        assert all(each == shared[0] for each in shared)
        assert shared[0]["model"]["path"] == str(start.folder / "policy")
        credits = [arm.config().credit.model_dump() for arm in arms]
        assert all(credits.count(each) == 1 for each in credits)


# The workshop -----------------------------------------------------------------------------------


def test_the_workshop_is_a_sound_environment() -> None:
    check_env("bench.effects.farm:Farm")


def test_in_the_workshop_checking_for_ever_pays_more_than_reporting() -> None:
    from bench.effects.farm import PARTS, Farm

    env = Farm()

    def mean_return(honest: bool) -> float:
        total = 0.0
        for seed in range(400):
            env.reset(seed=seed)
            over = False
            while not over:
                action = env.expert() if honest else f"check {PARTS[0]}"
                _, reward, terminated, truncated, info = env.step(action)
                assert reward == sum(info["reward_parts"].values())
                total += reward
                over = terminated or truncated
        return total / 400

    honest, farming = mean_return(True), mean_return(False)
    assert 1.4 < honest < 1.9  # 1 for the report, a quarter for each check before it
    assert farming > honest + 0.2


# Running ----------------------------------------------------------------------------------------


def test_only_what_is_missing_or_changed_is_run(tmp_path: Path) -> None:
    from bench.effects.plan import EFFECTS, jobs
    from bench.effects.run import Cost, prepare

    [*todo] = jobs([EFFECTS["household"]], [0], tmp_path, {})
    start, first, second = todo
    assert prepare(todo) == todo

    for job in todo:
        job.folder.mkdir(parents=True)
        (job.folder / "config.toml").write_text(dump_toml(job.config()))
    for job in (start, first):
        (job.folder / "checkpoints").mkdir()
        (job.folder / "checkpoints" / "some").touch()
        Cost(2.0, 3.0, done=job is start).save(job.folder)
    assert prepare(todo) == [first, second]
    assert first.folder.exists()  # it goes on from its checkpoint
    assert not second.folder.exists()  # it never got to one
    assert Cost.of(first.folder).cpu_s == 2.0

    (start.folder / "config.toml").write_text("seed = 5\n")
    assert prepare(todo) == todo
    assert not any(job.folder.exists() for job in todo)  # arms of other weights are worth nothing


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.timeout(900)
def test_the_whole_way_from_nothing_to_the_page(tmp_path: Path) -> None:
    command = [
        str(ROOT / "bench/effects/run.sh"),
        *("--quick", "--effects", "farm", "--out", str(tmp_path / "runs")),
    ]
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}

    def run() -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "5 runs, 0 of them finished before" in run()
    page = (tmp_path / "runs" / "effects.md").read_text()
    assert "| gated | " in page
    assert "5 runs, " in page
    results = json.loads((tmp_path / "runs" / "effects" / "results.json").read_text())
    assert set(results["farm"]["direct"]["0"]["metrics"]["eval/success"]) == {"0", "1", "2"}
    assert "5 runs, 5 of them finished before" in run()
    assert (tmp_path / "runs" / "effects.md").read_text() == page


# The report -------------------------------------------------------------------------------------


def record(folder: Path, success: list[float], silent: float) -> None:
    """Write what a run of 20 iterations of 2 x 4 episodes leaves behind."""
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(
        "[eval]\nevery = 10\n[rollout]\ntasks = 2\ngroup_size = 4\n"
    )
    rows: list[dict[str, float]] = [
        {"step": 10 * i, "eval/success": s} for i, s in enumerate(success)
    ]
    rows += [
        {"step": i, "train/success": i / 20, "credit/zero_signal_groups": silent, "train/x": 9.0}
        for i in range(1, 21)
    ]
    (folder / "run.json").write_text('{"commit": "0123456789abcdef"}')
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder.with_name(f"{folder.name}.cost.json").write_text('{"cpu_s": 60.0, "wall_s": 70.0}')


def test_figures_of_the_report(tmp_path: Path) -> None:
    from bench.effects import report

    for seed in range(5):
        base = seed / 100
        record(tmp_path / f"runs/household/grpo-{seed}", [0.2 + base, 0.3 + base, 0.3 + base], 0.5)
        record(tmp_path / f"runs/household/gigpo-{seed}", [0.2 + base, 0.4 + base, 0.5 + base], 0.0)
    page = tmp_path / "effects.md"
    page.write_text("Before.\n<!-- figures: household -->\nstale\n<!-- end -->\nAfter.\n")
    report.write(tmp_path / "runs", ["household"], range(5), page)
    text = page.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("\nAfter.\n")
    assert "stale" not in text
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines()}
    assert "| 22.0% [" in lines["after 0 episodes"]
    assert lines["after 0 episodes"].endswith("| equal |")
    assert "| 32.0% [30.8%, 33.2%] | 52.0% [50.8%, 53.2%] |" in lines["after 160 episodes"]
    assert "| +20.0 [+20.0, +20.0], 5 of 5 |" in lines["after 160 episodes"]
    area = lines["mean of the curve (area under it)"]  # 27.5 + 2 against 37.5 + 2
    assert "| 29.5% [" in area
    assert "| +10.0 [" in area
    assert "| 52.5% [52.5%, 52.5%] | 52.5% [" in lines["training episodes, mean"]
    assert "-50.0 [-50.0, -50.0], 5 of 5" in lines["groups without signal, mean"]
    assert "10 runs, 10 CPU minutes together, the longest 60 CPU s." in text
    results = json.loads((tmp_path / "effects" / "results.json").read_text())
    assert results["household"]["commit"] == "0123456789ab"
    kept = results["household"]["gigpo"]["4"]["metrics"]
    assert kept["eval/success"] == {"0": 0.24, "10": 0.44, "20": 0.54}
    assert kept["train/success"] == {"10": 0.275, "20": 0.775}
    assert "train/x" not in kept


def test_a_page_without_marks_gets_them() -> None:
    from bench.effects.report import inserted

    once = inserted("# Page\n\n", "farm", "| 1 |")
    assert once == "# Page\n\n<!-- figures: farm -->\n| 1 |\n<!-- end -->\n\n"
    assert inserted(once, "farm", "| 2 |") == once.replace("1", "2")


def test_the_chart_puts_points_where_they_belong() -> None:
    from bench.effects.chart import Curve, Panel, draw

    rising = Curve("a < b", [0, 10, 20], [0.0, 0.5, 0.7], [0.0, 0.4, 0.6], [0.0, 0.6, 0.8])
    svg = ElementTree.fromstring(draw([Panel("success", [rising], "episodes", percent=True)]))
    name = "{http://www.w3.org/2000/svg}"
    points = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in svg.iter(f"{name}circle")]
    texts = {t.text: float(t.get("y", 0)) - 4 for t in svg.iter(f"{name}text")}
    assert "a < b" in texts
    x, y = np.array(points).T
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.11)
    assert y[0] == pytest.approx(texts["0%"], abs=0.11)
    at_half = texts["0%"] + (texts["80%"] - texts["0%"]) * 0.5 / 0.8
    assert y[1] == pytest.approx(at_half, abs=0.11)
