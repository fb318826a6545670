"""Checks of an environment: the same episode again, the identity of states, snapshots."""

import random

from agentgym.env import TextEnv
from agentgym.errors import EnvError
from agentgym.testing.elsewhere import plain, play_elsewhere
from agentgym.testing.play import (
    Player,
    Step,
    Subject,
    actions_of,
    first_difference,
    idle,
    plan_of,
    repeat,
    script,
    short,
    simple_action,
)
from agentgym.testing.report import Doubtful, Failed, NotApplicable

HEAVY = ("torch", "transformers", "vllm", "docker")


def same_seed_same_episode(subject: Subject) -> None:
    """The same seed and actions give the same episode, in this instance and in a fresh one."""
    _needs_exact(subject)
    advice = "draw all randomness from self.np_random, and keep nothing from earlier episodes"
    for seed in subject.seeds:
        first = repeat(Player(subject), seed, script(subject, seed))
        again = Player(subject)
        second = repeat(again, seed, actions_of(first))
        if found := first_difference(first, second, seed):
            raise Failed(f"the same seed and actions gave another episode: {found}; {advice}")
        third = repeat(again, seed, actions_of(first))
        if found := first_difference(first, third, seed):
            raise Failed(f"a second reset of one instance gave another episode: {found}; {advice}")


def asking_changes_nothing(subject: Subject) -> None:
    """state_key, gold, expert, render and snapshot may be called at any time."""
    _needs_exact(subject)
    for seed in subject.seeds:
        actions = script(subject, seed)
        silent = repeat(Player(subject), seed, actions)
        player = Player(subject)
        asked = [player.reset(seed)]
        for action in actions:
            _ask(player)
            if asked[-1].over:
                break
            asked.append(player.step(action))
        if found := first_difference(silent, asked, seed):
            raise Failed(
                "calling state_key(), gold(), expert(), render() or snapshot() changed the "
                f"episode: {found}; these must neither draw random numbers nor change the state"
            )


def same_episode_in_another_process(subject: Subject) -> None:
    """Nothing depends on the process: hash seeds, the clock, the order of sets."""
    _needs_exact(subject)
    target = _needs_target(subject)
    seed = subject.seeds[0]
    ours = repeat(Player(subject), seed, script(subject, seed))
    subject.doing = "another process"
    theirs, _ = play_elsewhere(target, subject.options, seed, actions_of(ours))
    if found := first_difference([plain(step) for step in ours], theirs, seed):
        raise Failed(
            f"another process gave another episode: {found}; sort sets before iterating over "
            "them, and use neither hash() nor id() nor the clock"
        )


def needs_no_torch(subject: Subject) -> None:
    """Importing and making it loads no heavy package."""
    target = _needs_target(subject)
    subject.doing = "another process"
    _, modules = play_elsewhere(target, subject.options, subject.seeds[0], [])
    heavy = [name for name in HEAVY if name in modules]
    if heavy:
        raise Failed(
            f"importing or making it loads {', '.join(heavy)}; import such packages inside the "
            "functions that use them"
        )


def different_seeds_differ(subject: Subject) -> None:
    """More than one seed gives more than one episode."""
    if len(subject.seeds) < 2:
        raise NotApplicable("needs at least two seeds")
    actions = script(subject, subject.seeds[0])
    plays = []
    for seed in subject.seeds:
        steps = repeat(Player(subject), seed, actions)
        plays.append([(s.observation, s.state_key, s.reward) for s in steps])
    if all(play == plays[0] for play in plays):
        raise Doubtful(
            f"seeds {', '.join(map(str, subject.seeds))} all give the same episode; "
            "is that meant? a task that varies draws from self.np_random in begin()"
        )


def state_key_identifies(subject: Subject) -> None:
    """Equal keys mean equal futures, and asking twice gives the same key."""
    seen: dict[tuple[int, str, str, str], tuple[Step, int]] = {}
    keys: set[str | None] = set()
    for seed in subject.seeds:
        for again in range(3):
            player = Player(subject)
            rng = random.Random(1000 * again + seed)
            steps = [player.reset(seed)]
            while not steps[-1].over and len(steps) <= subject.steps:
                before = steps[-1].state_key
                keys.add(before)
                subject.doing = f"state_key() after {player.at}"
                if player.env.state_key() != before:
                    raise Failed(f"state_key() called twice after {player.at} gives two keys")
                chance = _chance(player.env)
                earlier = actions_of(steps)
                repeats = earlier and rng.random() < 0.3  # meets a state with an action again
                action = rng.choice(earlier) if repeats else simple_action(player, steps[-1], rng)
                steps.append(player.step(action))
                if before is not None:
                    _same_future(seen, (seed, before, chance, action), steps[-1], len(steps) - 1)
    if keys == {None}:
        raise NotApplicable("state_key() is None; step-level credit (gigpo) has nothing to group")
    _counts_steps(subject)


def snapshot_returns_to_the_same_future(subject: Subject) -> None:
    """restore() returns to the moment of snapshot(), any number of times, in any instance."""
    _needs_exact(subject)
    for seed in subject.seeds:
        actions = script(subject, seed)
        half = len(actions) // 2
        player = Player(subject)
        steps = repeat(player, seed, actions[:half])
        subject.doing = f"snapshot() after {player.at}"
        try:
            snapshot = player.env.snapshot()
        except NotImplementedError:
            raise NotApplicable("snapshot() is not supported") from None
        rest = _go_on(player, steps[-1], actions[half:])
        fresh = Player(subject)
        fresh.reset(seed + 1)
        for name, other in [("", player), ("a second time ", player), ("in a new one ", fresh)]:
            subject.doing = f"restore() {name}of a snapshot after step {half}"
            other.env.restore(snapshot)
            other.seed = seed
            try:
                found = first_difference(
                    rest, _go_on(other, steps[-1], actions[half:]), seed, first_step=half
                )
            except EnvError as error:
                found = str(error)
            if found:
                raise Failed(
                    f"restored {name}to the snapshot of step {half}, the same actions gave "
                    f"another episode: {found}; snapshot() must hold all that the rest depends "
                    "on, also turns, np_random and what else super().snapshot() holds"
                )


def _needs_exact(subject: Subject) -> None:
    if subject.cls.determinism != "exact":
        raise NotApplicable(f"determinism is {subject.cls.determinism!r}")


def _needs_target(subject: Subject) -> str:
    if subject.target is None:
        raise NotApplicable("only for environments given by name")
    return subject.target


def _ask(player: Player) -> None:
    player.subject.doing = (
        f"state_key(), gold(), expert(), render() or snapshot() after {player.at}"
    )
    env = player.env
    env.state_key()
    plan = env.gold()
    if plan is not None:
        plan_of(plan)
    env.expert()
    env.render()
    try:
        env.snapshot()
    except NotImplementedError:
        return


def _go_on(player: Player, start: Step, actions: list[str]) -> list[Step]:
    steps = [start]
    for action in actions:
        if steps[-1].over:
            break
        steps.append(player.step(action))
    return steps


def _chance(env: TextEnv) -> str:
    """Return the state of the environment's generator: equal keys say nothing about later draws."""
    return repr(env.np_random.bit_generator.state)


def _same_future(
    seen: dict[tuple[int, str, str, str], tuple[Step, int]],
    moment: tuple[int, str, str, str],
    after: Step,
    k: int,
) -> None:
    before = seen.setdefault(moment, (after, k))
    for name in ("reward", "terminated", "success", "state_key", "action_valid", "observation"):
        if name == "observation" and after.over:
            continue  # the last words may sum the episode up
        a = getattr(before[0], name, before[0].info.get(name))
        b = getattr(after, name, after.info.get(name))
        if a != b:
            seed, key, _, action = moment
            kind = Doubtful if name == "observation" else Failed
            raise kind(
                f"equal keys with different futures: in the state {short(key)} of seed {seed} the "
                f"action {short(action)} gave {name} {short(a)} at step {before[1]} of one episode "
                f"and {short(b)} at step {k} of another; put what made the difference into the key"
            )


def _counts_steps(subject: Subject) -> None:
    """Warn about a key that changes while nothing else does: it holds a counter."""
    steps = idle(subject, subject.seeds[0])[1:6]
    keys = {step.state_key for step in steps}
    if len(steps) == 5 and len(keys) == 5 and len({step.observation for step in steps}) == 1:
        raise Doubtful(
            "doing nothing five times gives five keys and one observation; a step counter in the "
            "key leaves every state alone in its group"
        )
