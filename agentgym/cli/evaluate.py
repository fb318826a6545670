"""`agentgym eval`: how often a policy succeeds on worlds that training never saw."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import EnvOptions, MaxTokens, Out, Preset, Temperature, Threads

if TYPE_CHECKING:
    from agentgym.cli.players import Player
    from agentgym.rollout import Task

HELD_OUT = 2**30 + 2**29
"""Seeds from here on are for evaluations at the end; training uses those below 2^30."""


def command(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="POLICY",
            help="The folder of a run or a policy, a hub name, or openai:ADDRESS#MODEL.",
        ),
    ],
    env: Annotated[
        str | None,
        typer.Option(metavar="ENV", help="The environment; else what the run trained on."),
    ] = None,
    preset: Preset = None,
    option: EnvOptions = None,
    episodes: Annotated[
        int, typer.Option("--episodes", "-n", min=1, metavar="N", help="How many.")
    ] = 200,
    temperature: Temperature = 1.0,
    max_tokens: MaxTokens = None,
    step: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Of a run: the iteration of the checkpoint."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of the samples; the worlds stay.")
    ] = 0,
    threads: Threads = 1,
    out: Out = None,
) -> None:
    """Measure a policy on held-out worlds."""
    from agentgym.cli.common import show, title
    from agentgym.cli.episodes import RolloutRecord, open_record, play_episodes, table
    from agentgym.cli.players import make_player
    from agentgym.errors import UserError

    if env is None and not (Path(policy) / "run.json").is_file():
        raise UserError(f"{policy} is not a run: say on what, with --env NAME")
    player = make_player(
        policy, temperature=temperature, max_tokens=max_tokens, step=step, threads=threads
    )
    tasks, what = _tasks(player, env, preset, option or [], episodes)
    record = RolloutRecord(
        agent=player.name,
        env=tasks[0].env,
        options=dict(tasks[0].options),
        episodes=episodes,
        seed=seed,
        first_seed=tasks[0].seed,
        temperature=temperature,
    )
    run = open_record(out, record) if out is not None else None
    try:
        played, elapsed_s = play_episodes(player, tasks, seed=seed, run=run, phase="eval")
    finally:
        player.close()
        if run is not None:
            run.close()
    how = f"sampled at temperature {temperature:g}" if temperature else "greedy"
    facts = {"policy": player.name, "measured on": f"{episodes:,} {what}, {how}"}
    show(title("held-out success"), table(played, elapsed_s, facts))
    if not any(t.valid for t in played):
        raise typer.Exit(1)


def _tasks(
    player: "Player", env: str | None, preset: str | None, pairs: list[str], episodes: int
) -> "tuple[list[Task], str]":
    """Return the worlds to play, and what they are."""
    from agentgym.cli.common import env_options, make_env, target_of
    from agentgym.env import env_class
    from agentgym.errors import UnknownName
    from agentgym.rollout import Task

    config = player.config
    if config is not None and env in (None, config.env.name):
        from agentgym.trainers import parts

        name = config.env.name
        options = parts.env_options(config, config.env.held_out)
        if preset is not None:
            presets = env_class(name).presets
            if preset not in presets:
                raise UnknownName(f"preset of {name}", preset, presets)
            options |= presets[preset]
        options |= env_options(name, pairs)
    else:
        assert env is not None
        name = target_of(env)
        tried, options = make_env(name, pairs, preset)
        tried.close()
    shown = ", ".join(f"{k}={v}" for k, v in options.items())
    worlds = f"held-out worlds of {name}" + (f" ({shown})" if shown else "")
    return [Task(name, options, HELD_OUT + i) for i in range(episodes)], worlds
