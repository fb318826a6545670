"""Recipes choose who acts: a trained role among frozen ones learns, resumes and replays."""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("torch")


from training_runs import Interrupting, in_another_process, same, start_or_go_on

from agentgym.agents import PolicyAgent
from agentgym.agents.base import Acting, Start
from agentgym.cli.players import make_player
from agentgym.config import load
from agentgym.errors import ConfigError, UnknownName, UserError
from agentgym.records import episodes, read_metrics, replay
from agentgym.render import Renderer
from agentgym.rollout import collect
from agentgym.trainers import parts
from agentgym.trainers.config import TrainConfig, load_recipe

__all__ = ["Alone"]

TINY: Mapping[str, object] = {
    "env": {"name": "test_agentflow:Shelf"},
    "model": {"preset": "tiny"},
    "agent": {
        "name": "agentflow",
        "tools": ["open"],
        "conclude": "conclude",
        "answer_form": "say '{answer}'",
        "max_steps": 3,
        "openings": {"planner": "", "generator": "Answer."},
        "models": {"generator": "initial"},
    },
    "warmstart": {"demonstrations": 8, "optimizer": {"lr": 3e-3}},
    "rollout": {"tasks": 2, "group_size": 3, "max_tokens_per_call": 5},
    "credit": {"name": "flow_grpo"},
    "loss": {"name": "ppo_clip", "kl_coef": 0.01},
    "optim": {"lr": 1e-3},
    "eval": {"every": 2, "episodes": 4},
    "train": {"iterations": 4, "checkpoint_every": 1},
}


def tiny(*overrides: str) -> TrainConfig:
    return load(TrainConfig, TINY, overrides)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert start_or_go_on(path, tiny()).iterations == 4
    return path


def test_only_the_planner_moves_and_the_frozen_role_stays_what_it_was(undisturbed: Path) -> None:
    versions: dict[str, set[int]] = {"planner": set(), "generator": set()}
    for each in episodes(undisturbed / "trajectories.log"):
        for call in (call for turn in each.trajectory.turns for call in turn.calls):
            demonstrated = each.phase == "demonstration"
            assert call.trainable == (demonstrated or call.role == "planner")
            assert call.fresh
            versions[call.role].add(call.policy_version)
    assert versions == {"planner": {0, 1, 2, 3, 4}, "generator": {0}}


def test_sampler_and_learner_agree_on_the_planner_s_tokens(undisturbed: Path) -> None:
    rows = [row for row in read_metrics(undisturbed / "metrics.jsonl") if "learner/gap_max" in row]
    assert len(rows) == 4
    assert all(0 < row["learner/gap_max"] < 1e-5 for row in rows)


def test_the_roles_words_are_in_the_new_vocabulary(undisturbed: Path) -> None:
    policy = parts.load_policy(tiny(), undisturbed / "policy")
    for text in ("conclude: Elm Combe", "Say open: or conclude: first.", "unknown"):
        assert len(policy.renderer.encode(text)) <= 5


def test_an_interrupted_run_ends_in_the_same_weights(undisturbed: Path, tmp_path: Path) -> None:
    result = start_or_go_on(tmp_path / "run", tiny(), Interrupting())
    assert (result.reason, result.iterations) == ("interrupted", 2)
    start_or_go_on(tmp_path / "run", tiny())
    assert same(undisturbed, tmp_path / "run")


def test_a_run_replays(undisturbed: Path) -> None:
    report = replay(undisturbed)
    assert report.ok
    assert report.checked == report.episodes > 0


def test_the_command_line_plays_a_run_with_its_frozen_roles(undisturbed: Path) -> None:
    player = make_player(str(undisturbed))
    try:
        tasks = parts.held_out_tasks(tiny(), 2, fresh=True)
        groups = collect(tasks, 1, player.agent, player.backend, seed=0, limits=player.limits)
    finally:
        player.close()
    roles = {c.role for g in groups for t in g.trajectories_G[0].turns for c in t.calls}
    assert roles == {"planner", "generator"}


# An agent of one's own ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Alone:
    """A planner that is nothing but a policy."""

    renderers: Mapping[str, Renderer]
    temperature: float
    opening: str = "Walk."
    needs: frozenset[str] = field(default=frozenset(), init=False)
    trained: ClassVar[str] = "walker"

    @property
    def policy(self) -> PolicyAgent:
        return PolicyAgent(
            self.renderers["walker"],
            temperature=self.temperature,
            opening=self.opening,
            role="walker",
        )

    def begin(self, start: Start) -> Acting:
        return self.policy.begin(start)

    def begin_imitating(self, start: Start, player: Acting) -> Acting:
        return self.policy.begin_imitating(start, player)


def test_an_agent_of_one_s_own(tmp_path: Path) -> None:
    mine = f"agent={{name='{__name__}:Alone', opening='Go.'}}"
    config = tiny(mine, "train.iterations=1", "eval.episodes=0", "env=guess")
    assert start_or_go_on(tmp_path / "run", config).iterations == 1
    logged = [e for e in episodes(tmp_path / "run" / "trajectories.log") if e.phase == "train"]
    assert {c.role for e in logged for t in e.trajectory.turns for c in t.calls} == {"walker"}


class Untrained(PolicyAgent):
    """Does not say what is trained."""


def test_a_frozen_role_may_be_a_model_behind_http(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    from openai_servers import Reply, said, scripted, serve

    with serve(scripted(Reply(said("Ada")))) as server:
        word = f"openai:{server.url}#tiny"
        config = tiny(f"agent.models={{generator='{word}'}}", "train.iterations=1")
        assert start_or_go_on(tmp_path / "run", config).iterations == 1
        assert server.samples
        refused = word.replace("#tiny", "#tinny")
        with pytest.raises(UserError, match="did you mean 'tiny'"):
            parts.check(tiny(f"agent.models={{generator='{refused}'}}"))
    logged = [
        e.trajectory for e in episodes(tmp_path / "run" / "trajectories.log") if e.phase == "train"
    ]
    calls = [call for t in logged for turn in t.turns for call in turn.calls]
    asked = [call for call in calls if call.role == "generator"]
    assert asked
    assert all(call.text == "Ada" and not call.trainable for call in asked)
    with pytest.raises(UserError, match="openai:"):
        parts.check(tiny("agent.models={generator='openai:http://127.0.0.1:9'}"))


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["agent=agentflo"], UnknownName, "did you mean 'agentflow'"),
        (["agent=no_such_module:Agent"], ConfigError, "the agent 'no_such_module:Agent'"),
        ([f"agent={__name__}:Untrained"], ConfigError, "which role is trained"),
        (["agent.max_step=3"], UnknownName, "did you mean 'agent.max_steps'"),
        (["agent.max_steps=many"], ConfigError, "agent.max_steps"),
        (["agent.max_steps=6"], ConfigError, "set max_steps to 5 or less"),
        (["rollout.max_turns=3"], ConfigError, "set max_steps to 2 or less"),
        (["agent.temperature=2.0"], UnknownName, "agent.temperature"),
        (["agent.models={verifer='initial'}"], ConfigError, "did you mean 'verifier'"),
        (["agent.models.verifier=/no/such/folder"], ConfigError, "no model folder"),
        (["agent=policy", "agent.models.verifier=initial"], ConfigError, "agent.models"),
        (["agent={name='policy', tools=['open']}"], ConfigError, "agent.tools"),
        (["rollout.opening=''"], ConfigError, "rollout.opening is for a plain policy"),
        (["rollout.action_tag=act"], ConfigError, "rollout.action_tag is for a plain policy"),
        (["rollout.context=workspace"], ConfigError, "rollout.context is for a plain policy"),
    ],
)
def test_mistakes_are_found_before_anything_starts(
    overrides: list[str], error: type[UserError], message: str
) -> None:
    with pytest.raises(error) as caught:
        parts.check(tiny(*overrides))
    assert message in str(caught.value)


# Killed -------------------------------------------------------------------------------------------


def killed_at(path: Path, config: TrainConfig, step: int) -> bool:
    """Start or go on in another process, kill it at a checkpoint; return whether it was alive."""
    process = in_another_process(path, config)
    while process.is_alive() and not (path / "checkpoints" / f"step_{step}").exists():
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_run_of_the_recipe_ends_in_the_same_weights(tmp_path: Path) -> None:
    config: Any = load_recipe(
        "search-agentflow",
        [
            "env.options.hops=1",
            "warmstart.demonstrations=800",
            "warmstart.noise=0.0",
            "rollout.tasks=4",
            "eval.episodes=10",
            "eval.every=3",
            "eval.final_episodes=10",
            "train.iterations=8",
            "train.checkpoint_every=2",
        ],
    )
    start_or_go_on(tmp_path / "undisturbed", config)
    learned = read_metrics(tmp_path / "undisturbed" / "metrics.jsonl")
    assert any(row.get("credit/zero_signal_groups", 1.0) < 1 for row in learned)
    for step in (0, 2, 6):
        assert killed_at(tmp_path / "run", config, step)
    start_or_go_on(tmp_path / "run", config)
    assert same(tmp_path / "undisturbed", tmp_path / "run")
    assert replay(tmp_path / "run").ok
