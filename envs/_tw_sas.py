"""Planning tasks in Fast Downward's SAS format, and states of them that change step by step.

textworld's engine asks a C++ library for the operators that are applicable in each state. Here
the same is kept by counting: every operator (and axiom, and the goal) knows how many of its
conditions do not hold, and a change of one variable touches only those that mention it.

The format: https://www.fast-downward.org/latest/documentation/translator-output-format/
"""

from collections.abc import Iterator
from dataclasses import dataclass

Fact = tuple[int, int]
"""A variable and one of its values."""


@dataclass(frozen=True, slots=True)
class Effect:
    """`variable` takes `value`, provided that all conditions hold before the operator."""

    conditions: tuple[Fact, ...]
    variable: int
    value: int


@dataclass(frozen=True, slots=True)
class Operator:
    """A ground action. Several operators may share one name."""

    name: str
    conditions: tuple[Fact, ...]
    effects: tuple[Effect, ...]


class Task:
    """A planning task, compiled for `State`; never changes after `__init__`.

    Attributes:
        atoms: for each variable the texts of its values, such as "Atom opened(fridge)".
        initial: the value of each variable at the start, axioms not yet evaluated.
        operators: all ground actions.

    Raises:
        ValueError: the text is not in the format, or its axioms depend on themselves.
    """

    def __init__(self, text: str) -> None:
        self.atoms: list[tuple[str, ...]] = []
        self.initial: tuple[int, ...] = ()
        self.operators: list[Operator] = []
        self.goal: tuple[Fact, ...] = ()
        self.rules: list[Operator] = []  # axioms: one effect each, applied whenever they can be
        self._read(iter(text.split("\n")))
        self._check_axioms()
        # Owners of conditions: operators, then axioms, then the goal.
        owners = [o.conditions for o in self.operators]
        owners += [r.conditions for r in self.rules] + [self.goal]
        if max(map(len, owners), default=0) > 255:
            raise ValueError("an action with more than 255 conditions")
        self.goal_owner = len(owners) - 1
        self.start_of = [0]  # of each variable, in the list of all facts
        for values in self.atoms:
            self.start_of.append(self.start_of[-1] + len(values))
        watchers: list[list[int]] = [[] for _ in range(self.start_of[-1])]
        for owner, conditions in enumerate(owners):
            for variable, value in conditions:
                watchers[self.start_of[variable] + value].append(owner)
        self.watchers = [tuple(w) for w in watchers]
        self.missing = bytes(len(conditions) for conditions in owners)

    def relevant_variables(self) -> list[int]:
        """Return the variables on which what can be done, or whether the goal holds, depends.

        Derived ones are left out. The order is that of their texts, not the translator's.
        """
        relevant = {v for o in self.operators for v, _ in o.conditions}
        relevant |= {v for v, _ in self.goal}
        changing = [(e.variable, e.conditions) for o in self.operators for e in o.effects]
        changing += [(r.effects[0].variable, r.conditions) for r in self.rules]
        before = -1
        while before != len(relevant):
            before = len(relevant)
            for variable, conditions in changing:
                if variable in relevant:
                    relevant.update(v for v, _ in conditions)
        relevant -= {rule.effects[0].variable for rule in self.rules}
        return sorted(relevant, key=lambda variable: self.atoms[variable])

    def _read(self, lines: Iterator[str]) -> None:
        derived: set[int] = set()
        try:
            for line in lines:
                if line == "begin_variable":
                    next(lines)
                    if next(lines) != "-1":
                        derived.add(len(self.atoms))
                    self.atoms.append(tuple(next(lines) for _ in range(int(next(lines)))))
                elif line == "begin_state":
                    self.initial = tuple(int(next(lines)) for _ in self.atoms)
                elif line == "begin_goal":
                    self.goal = self._facts(lines)
                elif line == "begin_operator":
                    self.operators.append(self._operator(lines))
                elif line == "begin_rule":
                    conditions = self._facts(lines)
                    variable, _, value = map(int, next(lines).split())
                    if variable not in derived:
                        raise ValueError("an axiom about a variable that actions change")
                    # What says when a variable keeps its default is the complement of the others.
                    if value != self.initial[variable]:
                        effect = Effect((), variable, value)
                        self.rules.append(Operator("", conditions, (effect,)))
        except StopIteration:
            raise ValueError("the planning task ends in the middle") from None
        if not self.operators or not self.goal:
            raise ValueError("a planning task without actions or without a goal")

    @staticmethod
    def _facts(lines: Iterator[str]) -> tuple[Fact, ...]:
        pairs = [next(lines).split() for _ in range(int(next(lines)))]
        return tuple((int(variable), int(value)) for variable, value in pairs)

    def _operator(self, lines: Iterator[str]) -> Operator:
        name = next(lines)
        conditions = dict(self._facts(lines))
        effects = []
        for _ in range(int(next(lines))):
            _, *numbers = map(int, next(lines).split())
            *flat, variable, before, value = numbers
            if before != -1:
                conditions[variable] = before
            needs = tuple(zip(flat[::2], flat[1::2], strict=True))
            effects.append(Effect(needs, variable, value))
        return Operator(name, tuple(conditions.items()), tuple(effects))

    def _check_axioms(self) -> None:
        """Refuse what counting cannot evaluate: axioms that depend on themselves."""
        needs: dict[int, set[int]] = {}
        for rule in self.rules:
            needs.setdefault(rule.effects[0].variable, set()).update(v for v, _ in rule.conditions)
        while needs:
            free = [head for head, body in needs.items() if not body & needs.keys()]
            if not free:
                raise ValueError("axioms that depend on themselves")
            for head in free:
                del needs[head]


class State:
    """A state of a task, with the operators that are applicable in it."""

    __slots__ = ("_missing", "_support", "applicable", "task", "values")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.values = [-1] * len(task.atoms)  #: of each variable
        self.applicable: set[int] = set()  #: indices of the operators that can be applied
        self._missing = bytearray(task.missing)  # conditions that do not hold, by owner
        self._support = [0] * len(task.atoms)  # axioms that hold, by the variable they set
        changes = list(enumerate(task.initial))
        for owner, missing in enumerate(task.missing):
            if not missing:
                self._gain(owner, changes)
        self._change(changes)

    @property
    def won(self) -> bool:
        """Whether the goal holds."""
        return not self._missing[self.task.goal_owner]

    def apply(self, operator: int) -> None:
        """Carry out an applicable operator."""
        values = self.values
        self._change(
            [
                (effect.variable, effect.value)
                for effect in self.task.operators[operator].effects
                if all(values[v] == value for v, value in effect.conditions)
            ]
        )

    def copy(self) -> "State":
        """Return an independent state equal to this one."""
        new = State.__new__(State)
        new.task = self.task
        new.values, new.applicable = self.values.copy(), self.applicable.copy()
        new._missing, new._support = self._missing.copy(), self._support.copy()
        return new

    def _change(self, changes: list[Fact]) -> None:
        task, values, missing = self.task, self.values, self._missing
        for variable, value in changes:  # grows while axioms follow
            old = values[variable]
            if old == value:
                continue
            values[variable] = value
            start = task.start_of[variable]
            if old >= 0:
                for owner in task.watchers[start + old]:
                    missing[owner] += 1
                    if missing[owner] == 1:
                        self._lose(owner, changes)
            for owner in task.watchers[start + value]:
                missing[owner] -= 1
                if not missing[owner]:
                    self._gain(owner, changes)

    def _gain(self, owner: int, changes: list[Fact]) -> None:
        rule = owner - len(self.task.operators)
        if rule < 0:
            self.applicable.add(owner)
        elif owner != self.task.goal_owner:
            effect = self.task.rules[rule].effects[0]
            self._support[effect.variable] += 1
            if self._support[effect.variable] == 1:
                changes.append((effect.variable, effect.value))

    def _lose(self, owner: int, changes: list[Fact]) -> None:
        rule = owner - len(self.task.operators)
        if rule < 0:
            self.applicable.discard(owner)
        elif owner != self.task.goal_owner:
            variable = self.task.rules[rule].effects[0].variable
            self._support[variable] -= 1
            if not self._support[variable]:
                changes.append((variable, self.task.initial[variable]))
