"""Checks of an environment: its reference solution, its demonstrator, its commands."""

import random

from agentgym.testing.play import (
    Player,
    Subject,
    idle,
    plan_of,
    repeat,
    script,
    short,
    simple_action,
)
from agentgym.testing.report import Doubtful, Failed, NotApplicable


def gold_solves(subject: Subject) -> None:
    """The plan of gold() ends in success, and doing nothing does not earn more."""
    for seed in subject.seeds:
        player = Player(subject)
        steps = [player.reset(seed)]
        subject.doing = f"gold() after {player.at}"
        plan = player.env.gold()
        if plan is None:
            raise NotApplicable("gold() is None: no reference solution is known")
        actions = plan_of(plan)
        for action in actions:
            if steps[-1].over:
                break
            steps.append(player.step(action))
        end, taken = steps[-1], len(steps) - 1
        if end.success is not True:
            state = "terminated" if end.terminated else "truncated" if end.truncated else "going on"
            raise Failed(
                f"gold() does not solve the task of seed {seed}: after {taken} of its "
                f"{len(actions)} actions the episode is {state} with success {end.success}; "
                f"last: {short(end.action)} -> {short(end.observation)}"
            )
        gold = sum(step.reward for step in steps)
        nothing = sum(step.reward for step in idle(subject, seed))
        if gold < nothing:
            raise Failed(f"doing nothing earns {nothing:g}, more than gold() with {gold:g}")


def gold_from_anywhere(subject: Subject) -> None:
    """gold() answers for the present state, not only for the first."""
    solved = 0
    for seed in subject.seeds:
        player = Player(subject)
        step = player.reset(seed)
        rng = random.Random(seed)
        for _ in range(3):
            if not step.over:
                step = player.step(simple_action(player, step, rng))
        if step.over:
            continue
        subject.doing = f"gold() after {player.at}"
        plan = player.env.gold()
        for action in plan_of(plan) if plan is not None else []:
            if not step.over:
                step = player.step(action)
        solved += step.success is True
        if plan is not None and not step.truncated and step.success is not True:
            raise Failed(
                f"gold() after three random actions (seed {seed}) does not solve the task: its "
                f"last action {short(step.action)} gives {short(step.observation)}; plan from "
                "the present state, or return None when the task can no longer be solved"
            )
    if not solved:
        raise NotApplicable("gold() knows no plan from a later state, or the turns run out first")


def expert_demonstrates(subject: Subject) -> None:
    """Following expert() succeeds at least now and then."""
    wins, asked = 0, 0
    for seed in subject.seeds:
        player = Player(subject)
        step = player.reset(seed)
        limit = player.env.max_turns or 200
        for _ in range(limit):
            subject.doing = f"expert() after {player.at}"
            advice = player.env.expert()
            if advice is not None and not isinstance(advice, str):
                raise Failed(f"expert() must return a str or None, got {short(advice)}")
            if advice is None or step.over:
                break
            asked += 1
            step = player.step(advice)
        wins += step.success is True
    if not asked:
        raise NotApplicable("expert() is None: it gives no demonstrations")
    if not wins:
        raise Doubtful(
            f"following expert() succeeds for none of the {len(subject.seeds)} seeds tried"
        )


def doing_nothing_fails(subject: Subject) -> None:
    """Repeating `noop` never succeeds."""
    for seed in subject.seeds:
        steps = idle(subject, seed)
        if any(step.success for step in steps):
            raise Failed(
                f"doing nothing ({subject.cls.noop!r} repeated) succeeds at step "
                f"{len(steps) - 1} of seed {seed}; success must need the right actions"
            )


def admissible_commands_are_valid(subject: Subject) -> None:
    """Every command that info names is one that the environment understands."""
    tried = 0
    for seed in subject.seeds[:2]:
        actions = script(subject, seed)
        for k in range(0, len(actions) + 1, 6):
            player = Player(subject)
            step = repeat(player, seed, actions[:k])[-1]
            commands = list(step.info.get("admissible_commands", ()))
            if step.over or not commands:
                continue
            if len(set(commands)) != len(commands):
                twice = next(c for c in commands if commands.count(c) > 1)
                raise Failed(f"admissible_commands after {player.at} has {twice!r} twice")
            for command in random.Random(k).sample(commands, min(4, len(commands))):
                tried += 1
                again = Player(subject)
                repeat(again, seed, actions[:k])
                if again.step(command).info.get("action_valid") is False:
                    raise Failed(
                        f"{command!r} is among admissible_commands at {player.at} "
                        "but taking it gives action_valid=False"
                    )
    if not tried:
        raise NotApplicable("info has no admissible_commands")
