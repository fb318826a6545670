"""Write household worlds as ALFWorld games: `game.tw-pddl` files that the real engine plays.

The PDDL domain and the text grammar are read from the installed `alfworld` package (the extra
`alfworld`); nothing of it is kept here.
"""

import importlib.util
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from agentgym.env import TextEnv
from agentgym.envs.household import Household
from agentgym.envs.household import vocabulary as words
from agentgym.envs.household.planner import plan
from agentgym.envs.household.play import Play
from agentgym.envs.household.world import LOOK, World
from agentgym.errors import ConfigError

_DOMAIN_OTYPES = frozenset({"ButterKnife", "Knife"})
_DOMAIN_RTYPES = frozenset({"Fridge", "Microwave", "SinkBasin"})
# The domain names these types in its actions, so that every problem must declare them.


def game(world: World) -> dict[str, object]:
    """Return the content of the game file of a world, with its gold plan as the walkthrough.

    Raises:
        ConfigError: `alfworld` is not installed.
    """
    domain, grammar = _logic()
    return {
        "pddl_domain": domain,
        "grammar": grammar.replace("UNKNOWN GOAL", world.task.text),
        "pddl_problem": problem(world),
        "solvable": True,
        "walkthrough": plan(Play(world)),
    }


def export_game(source: World | TextEnv, path: str | Path) -> Path:
    """Write one world as a game file, and beside it the `traj_data.json` that ALFWorld looks for.

    Args:
        source: a world, or a household environment after `reset` (its world as it was then).
        path: the game file (usually named `game.tw-pddl`); its folder is made if need be.

    Returns:
        The game file.

    Raises:
        ConfigError: `alfworld` is not installed, or `source` has no world.
    """
    world = source if isinstance(source, World) else getattr(source, "world", None)
    if not isinstance(world, World):
        raise ConfigError(f"only a household world can be exported, got {type(source).__name__}")
    path = Path(path)
    content = game(world)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
    path.with_name("traj_data.json").write_text(json.dumps(trajectory(world), indent=1), "utf-8")
    return path


def export_games(
    folder: str | Path,
    *,
    size: str = "full",
    split: str = "train",
    task: str = "any",
    seeds: Iterable[int] = range(10),
) -> list[Path]:
    """Write the worlds that `reset(seed)` gives for these seeds as a data set of ALFWorld's layout.

    A game is at `<split>/<task>-<object>-None-<target>-<room>/trial_<size>_<seed>/game.tw-pddl` in
    `folder`, so that `folder` takes the place of `json_2.1.1` in ALFWorld's configuration.

    Raises:
        ConfigError: `alfworld` is not installed, or an option has no such value.
    """
    env = Household(size=size, split=split, task=task)
    paths = []
    for seed in seeds:
        env.reset(seed=seed)
        world = env.world
        kind, obj, target = world.task.kind, world.task.obj, world.task.target
        name = f"{kind}-{obj}-None-{target}-{world.room.kind}"
        trial = f"trial_{size}_{seed:08d}"
        paths.append(export_game(world, Path(folder) / split / name / trial / "game.tw-pddl"))
    return paths


def trajectory(world: World) -> dict[str, object]:
    """Return what ALFWorld's own loader and its hand-coded expert read beside a game."""
    look = world.task.kind == LOOK
    return {
        "task_id": world.key,
        "task_type": world.task.kind,
        "pddl_params": {
            "object_target": world.task.obj,
            "parent_target": "" if look else world.task.target,
            "toggle_target": world.task.target if look else "",
            "mrecep_target": "",
            "object_sliced": False,
        },
        "turk_annotations": {"anns": [{"task_desc": f"{world.task.text.capitalize()}."}]},
    }


def identifiers(classes: Sequence[str]) -> list[str]:
    """Return PDDL ids for sorted classes, such that the engine's demangler makes our names of them.

    The demangler sorts the ids and numbers each class downwards. It knows basins by an ending.

    >>> identifiers(["Mug", "Mug", "SinkBasin"])
    ['Mug_bar_00', 'Mug_bar_01', 'Sink_bar_00_bar_SinkBasin']
    """
    ids: list[str] = []
    for i, cls in enumerate(classes):
        number = i - classes.index(cls)
        whole, basin, _ = cls.partition("Basin")
        ids.append(f"{whole}_bar_{number:02d}" + (f"_bar_{cls}" if basin else ""))
    return ids


def problem(world: World) -> str:
    """Return the PDDL problem of a world."""
    room, task = world.room, world.task
    receptacles, objects = identifiers(room.classes), identifiers(world.classes)
    places = [f"loc_bar_{place:02d}" for place in range(len(room.at) - 1)]
    rtypes = sorted({*room.classes, *_DOMAIN_RTYPES})
    otypes = sorted({*world.classes, *_DOMAIN_OTYPES})
    things = [
        "agent1 - agent",
        *(f"{o} - object" for o in objects),
        *(f"{r} - receptacle" for r in receptacles),
        *(f"{place} - location" for place in [*places, "loc_bar_start"]),
        *(f"{cls}Type - rtype" for cls in rtypes),
        *(f"{cls}Type - otype" for cls in otypes),
    ]
    facts = ["atLocation agent1 loc_bar_start"]
    for r, cls in enumerate(room.classes):
        facts.append(f"receptacleType {receptacles[r]} {cls}Type")
        facts.append(f"receptacleAtLocation {receptacles[r]} {places[room.places[r]]}")
        if room.openable[r]:
            facts.append(f"openable {receptacles[r]}")
        if world.opened[r]:
            facts.append(f"opened {receptacles[r]}")
    for o, cls in enumerate(world.classes):
        r = world.where[o]
        facts.append(f"objectType {objects[o]} {cls}Type")
        facts.append(f"inReceptacle {objects[o]} {receptacles[r]}")
        facts.append(f"objectAtLocation {objects[o]} {places[room.places[r]]}")
        able = {
            "pickupable": cls not in words.LAMPS,
            "cleanable": cls in words.CLEANABLE,
            "heatable": cls in words.HEATABLE,
            "coolable": cls in words.COOLABLE,
            "sliceable": cls in words.SLICEABLE,
            "isReceptacleObject": cls in words.CONTAINERS,
            "toggleable": task.kind == LOOK and o in world.aims,
        }
        facts += [f"{name} {objects[o]}" for name, holds in able.items() if holds]
    for rcls in sorted(set(room.classes)):
        facts += [
            f"canContain {rcls}Type {ocls}Type" for ocls in otypes if ocls in words.FITS[rcls]
        ]
    lines = [
        f"(define (problem household_{world.key})",
        "(:domain alfred)",
        "(:objects",
        *things,
        ")",
        "(:init",
        *(f"({fact})" for fact in facts),
        ")",
        f"(:goal {_goal(world)})",
        "(:metric minimize (total-cost))",
        ")",
    ]
    return "\n".join(lines)


def _goal(world: World) -> str:
    task, goal = world.task, world.goal
    if task.kind == LOOK:
        return (
            "(and (exists (?lamp - object ?r - receptacle ?a - agent ?l - location)"
            f" (and (objectType ?lamp {task.target}Type) (toggleable ?lamp) (isToggled ?lamp)"
            " (receptacleAtLocation ?r ?l) (atLocation ?a ?l) (inReceptacle ?lamp ?r)))"
            " (exists (?o - object ?a - agent)"
            f" (and (objectType ?o {task.obj}Type) (holds ?a ?o))))"
        )
    state = {"clean": "Clean", "cool": "Cool", "heat": "Hot"}.get(goal.verb)
    wanted = (
        f"(objectType ?o {task.obj}Type) (receptacleType ?r {task.target}Type) (inReceptacle ?o ?r)"
    )
    if state is not None:
        wanted += f" (is{state} ?o)"
    if goal.count == 2:
        wanted += (
            f" (exists (?p - object) (and (not (= ?o ?p)) (objectType ?p {task.obj}Type)"
            " (inReceptacle ?p ?r)))"
        )
    return f"(and (exists (?r - receptacle) (exists (?o - object) (and {wanted}))))"


def _logic() -> tuple[str, str]:
    """Return the PDDL domain and the text grammar of the installed engine."""
    spec = importlib.util.find_spec("alfworld")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "exporting needs ALFWorld's domain and grammar; "
            "install the extra with: pip install 'agentgym[alfworld]'"
        )
    data = Path(spec.origin).parent / "data"
    return (data / "alfred.pddl").read_text("utf-8"), (data / "alfred.twl2").read_text("utf-8")
