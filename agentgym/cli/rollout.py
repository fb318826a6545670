"""`agentgym rollout`: play many episodes and count."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import (
    AGENTS,
    EnvName,
    EnvOptions,
    MaxTokens,
    Out,
    Preset,
    Temperature,
    Threads,
)

if TYPE_CHECKING:
    from agentgym.types import JSON


def command(
    env: EnvName,
    agent: Annotated[
        str, typer.Option("--agent", "--model", metavar="WHO", help=AGENTS)
    ] = "expert",
    episodes: Annotated[
        int, typer.Option("--episodes", "-n", min=1, metavar="N", help="How many.")
    ] = 100,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of the first episode; they count up.")
    ] = 0,
    preset: Preset = None,
    option: EnvOptions = None,
    temperature: Temperature = 1.0,
    max_tokens: MaxTokens = None,
    driver: Annotated[
        str, typer.Option(metavar="HOW", help="lockstep; threaded for environments that wait.")
    ] = "lockstep",
    threads: Threads = 1,
    out: Out = None,
) -> None:
    """Play episodes and show how often they succeed."""
    from agentgym.cli.common import make_env, show, target_of, title
    from agentgym.cli.episodes import RolloutRecord, open_record, play_episodes, table
    from agentgym.cli.players import check_player, make_player
    from agentgym.rollout import Task

    name = target_of(env)
    tried, options = make_env(name, option or [], preset)  # mistakes stop here
    tried.close()
    player = make_player(agent, temperature=temperature, max_tokens=max_tokens, threads=threads)
    check_player(player, type(tried), name)
    record = RolloutRecord(
        agent=player.name,
        env=name,
        options=options,
        episodes=episodes,
        seed=seed,
        first_seed=seed,
        temperature=temperature,
    )
    run = open_record(out, record) if out is not None else None
    tasks = [Task(name, options, s) for s in range(seed, seed + episodes)]
    try:
        played, elapsed_s = play_episodes(player, tasks, seed=seed, driver=driver, run=run)
    finally:
        player.close()
        if run is not None:
            run.close()
    facts = {"agent": player.name, "episodes": f"{episodes:,}, {_seeds(seed, episodes)}"}
    show(title(f"{name}{_options_text(options)}"), table(played, elapsed_s, facts))
    if out is not None:
        show(f"recorded in {out}", style="dim")
    if not any(t.valid for t in played):
        raise typer.Exit(1)


def _seeds(first: int, count: int) -> str:
    return f"seed {first}" if count == 1 else f"seeds {first} to {first + count - 1}"


def _options_text(options: "dict[str, JSON]") -> str:
    shown: dict[str, Any] = dict(options)
    return f" ({', '.join(f'{k}={v}' for k, v in shown.items())})" if shown else ""
