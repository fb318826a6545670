"""Who knows how to solve a household task: the gold plan and the exploring expert.

Both follow the same rule, `next_command`; they differ in what they know. The rule looks at the
present state only, so it carries on sensibly from wherever others' commands have led.
"""

from collections.abc import Callable, Sequence

from agentgym.envs.household import vocabulary as words
from agentgym.envs.household.play import Play
from agentgym.envs.household.world import LOOK, ON

LONGEST = 200
"""A plan longer than this is a bug."""


def plan(play: Play) -> list[str]:
    """Return commands that solve the task from the present state, knowing everything; [] if won."""
    play = Play.load(play.save())
    play.seen = bytearray(b"\1") * len(play.seen)
    commands: list[str] = []
    while not play.won:
        command = next_command(play)
        answer = play.do(command)
        assert answer is not None, f"the planner's {command!r} is not possible"
        commands.append(command)
        assert len(commands) < LONGEST, f"the planner goes round in circles: {commands[-8:]}"
    return commands


def next_command(play: Play) -> str:
    """Return what to do next, knowing only what the player has seen; "look" once it is won."""
    if play.won:
        return "look"
    world = play.world
    if play.held >= 0 and play.held not in world.targets:
        return _drop(play)
    if world.task.kind == LOOK:
        return _to_light(play) if play.held >= 0 else _fetch(play, world.targets)
    if play.held >= 0:
        return _deliver(play)
    nearly = _fullest_aim(play)
    return _fetch(play, [o for o in world.targets if play.where[o] != nearly])


def _fetch(play: Play, wanted: Sequence[int]) -> str:
    """Take one of the wanted objects, or look for one."""
    known = [o for o in wanted if play.seen[play.where[o]]]
    if not known:
        obj = play.world.task.obj
        return _explore(play, lambda cls: obj in words.FITS[cls])
    mark = play.world.goal.mark
    o = min(known, key=lambda o: (not play.marks[o] & mark, _effort(play, play.where[o]), o))
    r = play.where[o]
    return _reach(play, r) or f"take {play.world.names[o]} from {play.world.room.names[r]}"


def _to_light(play: Play) -> str:
    """Bring what is held to a lamp that is on, or to any lamp and turn it on."""
    world = play.world
    known = [o for o in world.aims if play.seen[play.where[o]]]
    if not known:
        places = words.LAMP_PLACES[world.task.target]
        return _explore(play, lambda cls: cls in places)
    lamp = min(known, key=lambda o: (_away(play, play.where[o]), not play.marks[o] & ON, o))
    r = play.where[lamp]
    return _go(play, r) if _away(play, r) else f"use {world.names[lamp]}"


def _deliver(play: Play) -> str:
    """Bring what is held to where it belongs, by way of the appliance that it needs."""
    world, room, goal, held = play.world, play.world.room, play.world.goal, play.held
    if play.marks[held] & goal.mark != goal.mark:
        tools = [r for r, cls in enumerate(room.classes) if cls == goal.tool]
        r = min(tools, key=lambda r: (_away(play, r), r))
        if _away(play, r):
            return _go(play, r)
        return f"{goal.verb} {world.names[held]} with {room.names[r]}"
    r = _fullest_aim(play)
    if r < 0:
        r = min(world.aims, key=lambda r: (_effort(play, r), r))
    return _reach(play, r) or f"move {world.names[held]} to {room.names[r]}"


def _drop(play: Play) -> str:
    """Put down what is not wanted, at the nearest receptacle that takes it."""
    world, room = play.world, play.world.room
    cls = world.classes[play.held]
    r = min(
        (r for r, fits in enumerate(room.fits) if cls in fits), key=lambda r: (_effort(play, r), r)
    )
    return _reach(play, r) or f"move {world.names[play.held]} to {room.names[r]}"


def _fullest_aim(play: Play) -> int:
    """For "pick two": the receptacle in which one of the two is known to lie already, or -1."""
    world = play.world
    if world.goal.count == 1:
        return -1
    known = [r for r in (play.where[o] for o in world.targets) if r in world.aims and play.seen[r]]
    return min(known, key=lambda r: (_effort(play, r), r), default=-1)


def _explore(play: Play, likely: Callable[[str], bool]) -> str:
    """Look into the next receptacle that has not been seen: here, else likely ones, else any."""
    room = play.world.room
    unseen = [r for r in range(len(room.names)) if not play.seen[r]]
    r = min(unseen, key=lambda r: (not likely(room.classes[r]), _away(play, r), r))
    return _reach(play, r) or room.examine[r]


def _reach(play: Play, r: int) -> str | None:
    """Return the command that brings one nearer to using a receptacle; None if it is in reach."""
    if _away(play, r):
        return _go(play, r)
    closed = play.world.room.openable[r] and not play.opened[r]
    return f"open {play.world.room.names[r]}" if closed else None


def _go(play: Play, r: int) -> str:
    return f"go to {play.world.room.names[r]}"


def _away(play: Play, r: int) -> bool:
    return play.world.room.places[r] != play.place


def _effort(play: Play, r: int) -> int:
    """Count the commands it takes to have a receptacle in reach."""
    closed = play.world.room.openable[r] and not play.opened[r]
    return _away(play, r) + closed
