"""Annotators: found by need, refused in time, run before credit, and resumed bit for bit."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("bm25s", reason="needs the extra 'search'")

from training_runs import Interrupting, in_another_process, same, start_or_go_on

from agentgym import Outcome, TextEnv
from agentgym.agents import NoopAgent
from agentgym.envs.guess import Guess
from agentgym.errors import ConfigError, UnknownName, UserError
from agentgym.records import episodes, read_metrics
from agentgym.rollout import Task, collect
from agentgym.trainers import parts
from agentgym.trainers.annotate.gold_logprob import GoldLogprob
from agentgym.trainers.config import TrainConfig, load_recipe
from agentgym.trainers.credit.base import Policy
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.igpo import IGPO
from agentgym.trainers.schedule import check_schedule, scheduled, values_at
from agentgym.types import Group

__all__ = ["Certain", "Forgetful", "Plain", "Silly", "Wrong"]

FEW = (
    "warmstart.demonstrations=24",
    "warmstart.batch_size=8",
    "rollout.tasks=2",
    "rollout.group_size=3",
    "credit.schedule={outcome_weight=[[1, 0.0], [3, 1.0]]}",
    "eval.episodes=0",
    "eval.final_episodes=0",
    "train.iterations=4",
    "train.checkpoint_every=1",
)


def few(*overrides: str) -> TrainConfig:
    return load_recipe("search-igpo", [*FEW, *overrides])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "undisturbed"
    start_or_go_on(path, few())
    return path


# A run ------------------------------------------------------------------------------------------


def test_every_turn_of_a_run_has_a_belief_of_the_policy_that_acted(undisturbed: Path) -> None:
    config = few()
    played = [e for e in episodes(undisturbed / "trajectories.log") if e.phase == "train"]
    assert len(played) == 4 * 2 * 3
    for each in played:
        beliefs = each.trajectory.notes["gold_logprob"]
        assert len(beliefs) == len(each.trajectory.turns)
        assert max(beliefs) <= 0
    warm = parts.load_policy(config, undisturbed / "warm")  # what acted in the first iteration
    first = [e.trajectory for e in played if e.step == 1]
    bare = Group("first", tuple(replace(t, notes={}) for t in first))
    [again] = GoldLogprob(method="naive")([bare], warm)
    for logged, naive in zip(first, again.trajectories_G, strict=True):
        want = naive.notes["gold_logprob"]
        assert logged.notes["gold_logprob"] == pytest.approx(want, abs=1e-4)


def test_what_would_have_been_right_is_logged_and_was_not_shown(undisturbed: Path) -> None:
    for each in episodes(undisturbed / "trajectories.log"):
        t = each.trajectory
        assert t.answer
        assert t.answer not in t.turns[0].observation.text


def test_scheduled_weights_follow_the_iterations(undisturbed: Path) -> None:
    rows = [r for r in read_metrics(undisturbed / "metrics.jsonl") if "credit/outcome_weight" in r]
    assert [r["credit/outcome_weight"] for r in rows] == [0.0, 0.5, 1.0, 1.0]
    assert all("credit/zero_signal_groups" in row for row in rows)


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    undisturbed: Path, tmp_path: Path
) -> None:
    config = few("train.checkpoint_every=100")
    start_or_go_on(tmp_path / "run", config, Interrupting())
    start_or_go_on(tmp_path / "run", config)
    assert same(undisturbed, tmp_path / "run")
    ours, theirs = (
        [e.trajectory.notes for e in episodes(path / "trajectories.log") if e.phase == "train"]
        for path in (tmp_path / "run", undisturbed)
    )
    assert ours == theirs


def kill_when_logged(path: Path, growth: float) -> bool:
    """Start or go on in another process; kill it once the log has grown by so many bytes."""
    log = path / "trajectories.log"
    before = log.stat().st_size if log.is_file() else 0
    process = in_another_process(path, few())
    while process.is_alive():
        if log.is_file() and log.stat().st_size > before + growth:
            process.kill()
            process.join()
            return True
        time.sleep(0.002)
    assert process.exitcode == 0
    return False


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_weights(
    undisturbed: Path, tmp_path: Path
) -> None:
    size, rng = (undisturbed / "trajectories.log").stat().st_size, random.Random(0)
    killed = [kill_when_logged(tmp_path / "run", rng.uniform(0, size / 3)) for _ in range(6)]
    assert sum(killed) >= 3
    start_or_go_on(tmp_path / "run", few())
    assert same(undisturbed, tmp_path / "run")


# Found by need ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certain:
    """Believes the same after every turn, whatever happens."""

    belief: float = -1.0
    provides: frozenset[str] = frozenset({"gold_logprob"})
    requires: frozenset[str] = frozenset()

    def __call__(self, groups: Sequence[Group], policy: Policy) -> list[Group]:
        def noted(group: Group) -> Group:
            members = (
                replace(t, notes={"gold_logprob": (self.belief,) * len(t.turns)})
                for t in group.trajectories_G
            )
            return replace(group, trajectories_G=tuple(members))

        return list(map(noted, groups))


@dataclass(frozen=True)
class Silly(Certain):
    """Supplies something else than it is named for."""

    provides: frozenset[str] = frozenset({"mood"})


def test_an_annotator_from_outside_takes_the_place_of_ours() -> None:
    config = few(f"annotate.gold_logprob={__name__}:Certain")
    assert parts.check(config).annotators == (Certain(),)
    config = few(f"annotate.gold_logprob={{name='{__name__}:Certain', belief=-2.0}}")
    assert parts.check(config).annotators == (Certain(-2.0),)
    # It works nothing out from an answer, so an environment without one will do.
    parts.check(few(f"annotate.gold_logprob={__name__}:Certain", "env=guess"))


def test_parameters_come_from_the_recipe_and_only_what_is_needed_runs() -> None:
    [annotator] = parts.check(few("annotate.gold_logprob.temperature=0.5")).annotators
    assert annotator == GoldLogprob(temperature=0.5)
    assert parts.check(load_recipe("search-igpo", ["credit=grpo"])).annotators == ()
    config = load_recipe("search-igpo", ["credit=0.5*gigpo + igpo"])
    [annotator] = parts.check(config).annotators
    assert annotator.provides == {"gold_logprob"}


class Forgetful(Guess):
    """Could know an answer, but has none."""

    def answer(self) -> str | None:
        return None


class Plain(TextEnv):
    """Knows an answer that is a number."""

    max_turns = 1

    def begin(self, options: Mapping[str, object]) -> str:
        return "Well?"

    def act(self, action: str) -> Outcome:
        return Outcome("Thank you.", 1.0, terminated=True, success=True)

    def answer(self) -> str | None:
        return "yes"


class Wrong(Plain):
    """Knows an answer that is a number."""

    def answer(self) -> str | None:
        return 7  # type: ignore[return-value]


def test_the_answer_travels_with_the_trajectory() -> None:
    [group] = collect([Task(f"{__name__}:Plain")], 1, NoopAgent(), None, seed=0)
    assert group.trajectories_G[0].answer == "yes"
    [group] = collect([Task("guess")], 1, NoopAgent(), None, seed=0)
    assert group.trajectories_G[0].answer is None
    [group] = collect(
        [Task(f"{__name__}:Wrong")], 1, NoopAgent(), None, seed=0, retries=0, max_failure_rate=1.0
    )
    failure = group.trajectories_G[0].failure
    assert failure is not None
    assert (failure.boundary, "must be a str or None, got 7" in failure.message) == ("env", True)


@pytest.mark.parametrize(
    ("overrides", "error", "parts_of_message"),
    [
        (["env=guess"], ConfigError,
         ["credit scheme igpo needs gold_logprob", "GoldLogprob", "'guess' knows no answer"]),
        ([f"env={__name__}:Forgetful"], ConfigError, ["Forgetful' knows no answer"]),
        (["credit=1*igpo + gigpo", "env=guess"], ConfigError, ["gold_logprob", "'guess'"]),
        (["annotate.gold_logprb={}"], UnknownName, ["did you mean 'gold_logprob'"]),
        (["annotate.gold_logprob.temprature=1.0"], UnknownName, ["annotate.gold_logprob.temp"]),
        (["annotate.gold_logprob.temperature=0.0"], ConfigError, ["temperature"]),
        (["annotate.gold_logprob.template=answer"], ConfigError, ["{answer} once"]),
        ([f"annotate.gold_logprob={__name__}:Silly"], ConfigError, ["Silly supplies mood"]),
        ([f"annotate.gold_logprob={__name__}:Sily"], UnknownName, ["did you mean 'Silly'"]),
        (["credit.schedule={gain_wight=[[1, 0.5]]}"], UnknownName, ["did you mean 'gain_weight'"]),
        (["credit.schedule={gain_weight=[[5, 1.0], [5, 2.0]]}"], ConfigError, ["rising"]),
        (["credit.schedule={gain_weight=[]}"], ConfigError, ["[iteration, value]"]),
        (["credit.schedule={gain_weight=[[1, 1.0], [9, -1.0]]}"], ConfigError,
         ["iteration 9", "gain_weight"]),
        (["credit=gigpo", "credit.schedule={gain_weight=[[1, 1.0]]}"], UnknownName, ["GiGPO"]),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_the_first_rollout(
    overrides: list[str], error: type[UserError], parts_of_message: list[str]
) -> None:
    config = load_recipe("search-igpo", ["env.held_out={}", *overrides])
    with pytest.raises(error) as caught:
        parts.check(config)
    for part in parts_of_message:
        assert part in str(caught.value)


# Schedules --------------------------------------------------------------------------------------


def test_schedules_are_straight_between_points_and_constant_outside() -> None:
    points = {"gain_weight": ((10, 1.0), (20, 0.0), (30, 4.0))}
    found = [values_at(points, i)["gain_weight"] for i in (1, 10, 15, 20, 25, 30, 99)]
    assert found == [1.0, 1.0, 0.5, 0.0, 2.0, 4.0, 4.0]


def test_a_scheduled_scheme_is_the_scheme_with_other_parameters() -> None:
    scheme = IGPO(compat="igpo-v2", gamma=0.9)
    check_schedule(scheme, {"gain_weight": ((0, 1.0), (4, 0.0))})
    assert scheduled(scheme, {"gain_weight": ((0, 1.0), (4, 0.0))}, 3) == IGPO(
        compat="igpo-v2", gamma=0.9, gain_weight=0.25
    )
    assert scheduled(scheme, {}, 3) is scheme
    changed = scheduled(GiGPO(), {"omega": ((0, 0.0), (10, 1.0))}, 5)
    assert changed == GiGPO(omega=0.5)
