"""Household against the real ALFWorld engine: the same commands, character by character.

A fixed part runs by default. The whole is marked slow: 216 worlds of every size, split and task
type, 50 commands each, and 594 more worlds on the memoised engine. It takes
`pytest -m slow tests/envs/test_household_differential.py` a quarter of an hour.
"""

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentgym.envs.household import Household
from agentgym.envs.household.export import export_game, export_games, game
from agentgym.envs.household.generate import SIZES, SPLITS, generate
from agentgym.envs.household.planner import next_command, plan
from agentgym.envs.household.play import NOTHING, Play
from agentgym.envs.household.world import GOALS, LOOK, Room, Task, World

pytest.importorskip("alfworld", reason="the real engine is the extra 'alfworld'")
pytest.importorskip("textworld", reason="the real engine is the extra 'alfworld'")


@pytest.fixture(autouse=True)
def _keep_argv() -> Iterator[None]:
    """The engine's PDDL translator overwrites sys.argv."""
    argv = sys.argv
    yield
    sys.argv = argv


Shown = tuple[str, tuple[str, ...], bool, bool]
"""What an engine shows after a command: text, admissible commands, done, won."""


class Stock:
    """The engine as ALFWorld's users get it, without the turn limit."""

    def __init__(self, world: World, folder: Path) -> None:
        import textworld
        from alfworld.agents.environment.alfred_tw_env import AlfredDemangler, AlfredInfos
        from textworld.envs import PddlEnv

        wanted = textworld.EnvInfos(won=True, admissible_commands=True, extras=["gamefile"])
        self.env = AlfredInfos(AlfredDemangler(PddlEnv(wanted), shuffle=False))
        self.env.load(str(export_game(world, folder / "game.tw-pddl")))
        self.state = self.env.reset()
        self.done = False

    def step(self, command: str) -> None:
        self.state, _, self.done = self.env.step(command)

    def shown(self) -> Shown:
        commands = tuple(self.state["admissible_commands"])
        return self.state.feedback, commands, bool(self.done), bool(self.state["won"])


class Memoised:
    """The same engine with what never changes worked out once, as `envs/alfworld` uses it."""

    def __init__(self, world: World, folder: Path) -> None:
        from agentgym.envs._tw_engine import PddlGame

        self.game = PddlGame.load(export_game(world, folder / "game.tw-pddl"))
        text, info = self.game.reset()
        self.now: Shown = (text, tuple(info["admissible_commands"]), False, info["won"])

    def step(self, command: str) -> None:
        text, done, won, admissible = self.game.step(command)
        self.now = (text, tuple(admissible), done, won)

    def shown(self) -> Shown:
        return self.now


def differ(
    world: World,
    folder: Path,
    count: int,
    fuzz: Callable[[Play], str],
    make: type[Stock] | type[Memoised] = Stock,
) -> None:
    """Play `count` commands on both; fail at the first difference."""
    engine, play = make(world, folder), Play(world)
    assert engine.shown() == (world.intro, play.commands, False, False)
    history = []
    for _ in range(count):
        command = fuzz(play)
        history.append(command[:100])
        answer = play.do(command)
        engine.step(command)
        ours = (NOTHING if answer is None else answer, play.commands, play.won, play.won)
        assert engine.shown() == ours, f"after {history}"


DULL = {"look", "inventory", "help", "examine"}


class Fuzz:
    """Commands of all sorts: valid, possible elsewhere, mistyped, nonsense.

    Every second seed is bent on solving the task first, so that much is tried after the goal.
    """

    def __init__(self, number: int, *more: object) -> None:
        self.rng = random.Random(f"fuzz/{number}/{more}")
        self.solver = number % 2 == 0
        self.solved = False

    def __call__(self, play: Play) -> str:
        self.solved = self.solved or play.won
        sorts: dict[Callable[[Play], str], float] = {
            self.admissible: 45,
            next_command: 150 if self.solver and not self.solved else 10,
            self.elsewhere: 12,
            self.mistyped: 9,
            self.nonsense: 7,
        }
        return self.rng.choices(list(sorts), list(sorts.values()))[0](play)

    def admissible(self, play: Play) -> str:
        """Choose the verb first, so that the fuzz does not only walk; seek what is rare."""
        verbs = sorted({command.split()[0] for command in play.commands})
        weights = {verb: 0.2 if verb in DULL else 1.0 for verb in verbs}
        weights["look"] = 2.0 if play.strays else 0.2
        weights["slice"] = 3.0
        (verb,) = self.rng.choices(verbs, [weights[verb] for verb in verbs])
        commands = [c for c in play.commands if c.split()[0] == verb]
        return self.rng.choices(commands, [5 if "knife" in c else 1 for c in commands])[0]

    def elsewhere(self, play: Play) -> str:
        o, p = self.rng.choices(play.world.names, k=2)
        r, q = self.rng.choices(play.world.room.names, k=2)
        return self.rng.choice(
            [
                f"go to {r}", f"go to {o}", f"open {r}", f"close {r}", f"open {o}",
                f"take {o} from {r}", f"take {r} from {q}", f"take {o} from {p}",
                f"move {o} to {r}", f"move {r} to {q}", f"put {o} in/on {r}", f"use {o}",
                f"heat {o} with {r}", f"cool {o} with {r}", f"clean {o} with {r}",
                f"slice {o} with {p}", f"examine {o}", f"examine {r}", f"take {o}", f"move {o}",
                f"use {r}",
            ]
        )  # fmt: skip

    def mistyped(self, play: Play) -> str:
        command = self.rng.choice(play.commands)
        cut = self.rng.randrange(len(command) + 1)
        return self.rng.choice(
            [
                command.upper(), command.title(), command.capitalize(), command.replace(" ", "  "),
                command.replace(" ", "\t"), command.replace(" ", "\u00a0"), f"  {command}\n",
                f"\x0b\x1c{command}\u2003\x85", f"\ufeff{command}", f"{command}\x00", f"{command}.",
                command[:cut], command[cut:], f"{command} {command}", f"> {command}",
                command.replace(" 1", ""), command.replace(" 1", " 01"),
                command.replace("to ", "to the "), command[0], f"{command} now", f'"{command}"',
                command.replace("a", "\u0430"), command.replace("i", "\u0131"),
            ]
        )  # fmt: skip

    def nonsense(self, play: Play) -> str:
        return self.rng.choice(
            [
                "", " ", "\n", "\x00", "\x1b[31mlook", "x" * 100_000, "look " * 20_000, "i", "l",
                "h", "inv", "wait", "quit", "restart", "undo", "save", "north", "help help",
                "look look", "look around", "examine", "examine agent1", "examine agent1 ",
                "go to loc 1", "go to", "go", "take", "open", "{r}", "go to {r.name}", "%s", "\\n",
                "look;inventory", "None", "\U0001f34e", "\u770b", "\u05d4\u05e1\u05ea\u05db",
                "\udc80", "l\u0336o\u0336ok",
            ]
        )  # fmt: skip


def strays_world() -> World:
    """Receptacles that share places, one of them open, and knives, lamps and a hidden apple."""
    room = Room(
        "kitchen",
        ("Cabinet", "Cabinet", "CounterTop", "Desk", "Fridge", "Microwave", "SinkBasin"),
        (0, 1, 1, 2, 3, 4, 4),
    )
    classes = ("Apple", "Apple", "DeskLamp", "Egg", "Knife", "Mug", "SoapBottle")
    opened = bytes([1, 0, 0, 0, 0, 0, 0])
    return World(
        room, classes, bytes([2, 4, 3, 1, 2, 2, 1]), opened, Task(LOOK, "Apple", "DeskLamp")
    )


@pytest.mark.parametrize("number", range(6))
def test_fixed_part(number: int, tmp_path: Path) -> None:
    kind = list(GOALS)[number]
    size, split = list(SIZES)[number % 3], SPLITS[number // 2]
    differ(generate(number, size=size, split=split, task=kind), tmp_path, 20, Fuzz(number))


@pytest.mark.parametrize("kind", GOALS)
@pytest.mark.parametrize("size", SIZES)
def test_fixed_part_on_the_memoised_engine(size: str, kind: str, tmp_path: Path) -> None:
    for number, split in enumerate(SPLITS):
        world = generate(number, size=size, split=split, task=kind)
        differ(world, tmp_path, 40, Fuzz(number, size, split, kind), Memoised)


def test_receptacles_that_share_a_place(tmp_path: Path) -> None:
    differ(strays_world(), tmp_path, 60, Fuzz(1, "strays"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", GOALS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("split", SPLITS)
def test_whole(split: str, size: str, kind: str, tmp_path: Path) -> None:
    for seed in range(4):
        world = generate(seed, size=size, split=split, task=kind)
        differ(world, tmp_path, 50, Fuzz(seed, split, size, kind))


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("size", SIZES)
def test_many_more_worlds_on_the_memoised_engine(size: str, split: str, tmp_path: Path) -> None:
    for seed in range(4, 70):
        fuzz = Fuzz(seed, split, size, "memoised")
        differ(generate(seed, size=size, split=split), tmp_path, 80, fuzz, Memoised)


@pytest.mark.slow
def test_many_commands_where_places_are_shared(tmp_path: Path) -> None:
    for seed in range(3):
        differ(strays_world(), tmp_path, 200, Fuzz(seed, "strays"))


@pytest.mark.parametrize("kind", GOALS)
def test_gold_wins_on_the_real_engine(kind: str, tmp_path: Path) -> None:
    world = generate(7, size="small", task=kind)
    engine = Stock(world, tmp_path)
    for command in plan(Play(world)):
        assert not engine.done
        engine.step(command)
    assert engine.done


LOADER = {
    "env": {
        "goal_desc_human_anns_prob": 0,
        "task_types": [1, 2, 3, 4, 5, 6],
        "domain_randomization": False,
        "expert_type": "handcoded",
    }
}
"""What AlfredTWEnv wants to be told in any case."""


def test_alfworlds_own_loader_plays_an_exported_folder(tmp_path: Path) -> None:
    """AlfredTWEnv finds the games and, through all its wrappers, shows what ours shows."""
    from alfworld.agents.environment.alfred_tw_env import AlfredTWEnv

    options = {"size": "tiny", "split": "valid_seen"}
    paths = export_games(tmp_path, seeds=[3], **options)
    config = {
        **LOADER,
        "general": {"training_method": "dqn"},
        "rl": {"training": {"max_nb_steps_per_episode": 50}},
        "dataset": {"eval_id_data_path": str(tmp_path / "valid_seen"), "num_eval_games": -1},
    }
    loader = AlfredTWEnv(config, train_eval="eval_in_distribution")
    assert loader.game_files == [str(path) for path in paths]
    theirs = loader.init_env(batch_size=1)
    texts, infos = theirs.reset()
    ours = Household(**options)  # type: ignore[arg-type]  # the keys are options
    text, info = ours.reset(seed=3)
    assert (texts[0], tuple(infos["admissible_commands"][0])) == (text, info["admissible_commands"])
    for command in ["look", "nonsense", *(ours.gold() or ())]:
        texts, scores, dones, infos = theirs.step([command])
        text, reward, done, _, info = ours.step(command)
        assert (texts[0], scores[0], dones[0], infos["won"][0]) == (text, reward, done, done)
        assert tuple(infos["admissible_commands"][0]) == info["admissible_commands"]
    assert done
    theirs.close()


@pytest.mark.slow
def test_alfworlds_own_expert_solves_exported_games(tmp_path: Path) -> None:
    """The hand-coded expert reads `traj_data.json` and the facts of the game, and finds its way."""
    from alfworld.agents.environment.alfred_tw_env import AlfredTWEnv

    export_games(tmp_path, size="small", seeds=range(6))
    config = {
        **LOADER,
        "general": {"training_method": "dagger"},
        "dagger": {"training": {"max_nb_steps_per_episode": 50}},
        "dataset": {"data_path": str(tmp_path / "train"), "num_train_games": -1},
    }
    engine = AlfredTWEnv(config, train_eval="train").init_env(batch_size=1)
    for _ in range(6):
        _, infos = engine.reset()
        for _ in range(50):
            _, _, dones, infos = engine.step([infos["extra.expert_plan"][0][0]])
            if dones[0]:
                break
        assert infos["won"][0]
    engine.close()


def test_names_in_a_game_file_are_stable() -> None:
    first = game(generate(1, size="tiny"))
    assert first == game(generate(1, size="tiny"))
    assert set(first) == {"pddl_domain", "grammar", "pddl_problem", "solvable", "walkthrough"}
