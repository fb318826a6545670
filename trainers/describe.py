"""What a run says about itself: what it is, what an iteration brought, what it is measured on."""

from collections.abc import Mapping
from pathlib import Path

from agentgym.trainers.config import TrainConfig
from agentgym.trainers.evaluate import Score
from agentgym.trainers.parts import env_options


def facts(config: TrainConfig, weights: int, folder: Path) -> dict[str, str]:
    """Return what a run is about, for its beginning; `weights`: how many the policy has."""
    env, rollout = config.env, config.rollout
    found = {
        "environment": f"{env.name}{f' ({env.preset})' if env.preset else ''}",
        "policy": f"{weights / 1e6:.2f} million weights, "
        f"{config.model.path or f'{config.model.preset}, new'}",
        "learning": f"{config.credit.name}, {config.loss.name}, {rollout.tasks} tasks x "
        f"{rollout.group_size} episodes per iteration",
        "run folder": str(folder),
    }
    if config.agent.name != "policy":
        models = [f"{role}: {source}" for role, source in config.agent.models.items()]
        found["agent"] = ", ".join([config.agent.name, *models])
    if config.warmstart.demonstrations:
        noise = f", {config.warmstart.noise:.0%} noise" if config.warmstart.noise else ""
        found["warm start"] = f"{config.warmstart.demonstrations} demonstrations{noise}"
    return found


def counts(
    score: Score, metrics: Mapping[str, float], groups: int, retried: int = 0
) -> dict[str, str]:
    """Return what deserves a line about an iteration.

    Args:
        score: of its episodes.
        metrics: of the learner and of credit.
        groups: how many it had.
        retried: episodes that the platform spoiled and that were played again.
    """
    found = {"mean turns": f"{score.mean_turns:.1f}"}
    if score.valid_actions is not None:
        found["invalid actions"] = f"{1 - score.valid_actions:.1%}"
    if score.mean_tool_calls is not None:
        found["mean tool calls"] = f"{score.mean_tool_calls:.1f}"
    if score.judge_checked:
        kind, strict = (
            n / score.judge_checked for n in (score.judge_too_kind, score.judge_too_strict)
        )
        found["judge against rules"] = (
            f"{kind:.0%} too kind, {strict:.0%} too strict of {score.judge_checked}"
        )
    if len(score.mean_parts) > 1:
        found["rewards by part"] = ", ".join(f"{n} {v:.2f}" for n, v in score.mean_parts.items())
    if "credit/zero_signal_groups" in metrics:
        silent = round(metrics["credit/zero_signal_groups"] * groups)
        found["groups without signal"] = f"{silent} of {groups}"
    if "credit/singleton_anchor_turns" in metrics:
        found["turns in a state of their own"] = f"{metrics['credit/singleton_anchor_turns']:.0%}"
    if retried:
        found["episodes retried"] = str(retried)
    found["episodes masked"] = str(score.failures)
    if "critic/explained_variance" in metrics:
        found["variance that the critic explains"] = f"{metrics['critic/explained_variance']:.0%}"
    if "gap_max" in metrics:
        found["gap to the backend"] = f"{metrics['gap_max']:.1g} nats"
    if metrics.get("bad_steps"):
        found["steps skipped"] = f"{metrics['bad_steps']:.0f}"
    return found


def measured_on(config: TrainConfig, count: int, temperature: float) -> str:
    """Return what an evaluation measures on."""
    env = config.env
    options = env_options(config, env.held_out)
    given = [v if isinstance(v, str) else f"{k}={v}" for k, v in options.items() if v]
    named = ", ".join(dict.fromkeys(str(v) for v in (env.preset, *given) if v))
    how = f"sampled at temperature {temperature:g}" if temperature else "greedy"
    worlds = f"{env.name} ({named})" if named else env.name
    return f"{count} held-out worlds of {worlds}, {how}"
