"""AgentFlow (arXiv 2510.05592): planner, executor, verifier and generator over a growing record.

The planner proposes a step, `tool: sub-goal`. The executor makes an action of the environment from
it; what comes back goes into the record. The verifier judges from the record whether to stop, and
then the generator writes the final answer from it. Only the planner is trained. The other roles
are models that stay as they are, or rules, which are a few lines of this file.
"""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

import numpy as np

from agentgym.agents.base import (
    Acting,
    Asking,
    Decision,
    Start,
    StopEpisode,
    View,
    call_of,
    new_session,
)
from agentgym.agents.memory import Memory
from agentgym.backends.base import Sample, SampleRequest
from agentgym.context import Workspace
from agentgym.env import TextEnv
from agentgym.errors import ConfigError, UnknownName
from agentgym.render import Renderer, parse_action
from agentgym.types import Call, Message, Stop

PLANNER, EXECUTOR, VERIFIER, GENERATOR = "planner", "executor", "verifier", "generator"
ROLES: Final = (PLANNER, EXECUTOR, VERIFIER, GENERATOR)
STOP, GO_ON = "stop", "go on"
UNKNOWN: Final = "unknown"
"""The generator's answer by rule where nothing was concluded."""
NOT_FOUND: Final = "No result says so."
"""What the record says of a conclusion that the verifier did not accept."""

OPENINGS: Final[Mapping[str, str]] = {
    PLANNER: "{instructions}\n\nYou plan, one step at a time. Say which tool to use next and what "
    "for, in one line:\n(tool): (sub-goal)\nTools: {tools}. To propose the final answer, say\n"
    "{conclude}: (the answer)",
    EXECUTOR: "{instructions}\n\nSay the one action that carries out the last step of the plan.",
    VERIFIER: "{instructions}\n\nYou are shown what was done so far. Say 'stop' if it is enough "
    "for the final answer, else 'go on'.",
    GENERATOR: "{instructions}\n\nYou are shown what was done so far. Say the final answer and "
    "nothing else, as short as possible.",
}

_STEP: Final = re.compile(r"\s*([^:]*[^:\s])\s*:(.*)", re.DOTALL)

Saying = Generator[tuple[SampleRequest, ...], list[Sample], str]
"""One role speaks: yields its request if it is a model, and returns what was said."""


@dataclass(frozen=True)
class AgentFlow:
    """A trained planner and three frozen roles that share a record of what was done.

    The record is rendered afresh for every call, so each call is a token sequence of its own. One
    turn is one action of the environment; several calls may lead to it. All calls are kept in
    the turn; a role that follows its rule makes none.

    The rules: the executor's action is `tool: sub-goal`. The verifier stops when the planner has
    concluded something (`conclude: answer`) and, with `grounded`, a result of a tool holds it word
    for word; a conclusion that is not accepted counts as a step, and the record says so. The
    generator gives the last conclusion, or "unknown".

    What is not a step (no known tool, nothing after the colon) reaches no environment: the record
    says what a step looks like, it counts as one, and the turn as not well-formed.

    Attributes:
        renderers: of the tokenizer of each role that is a model, the planner among them; the
            others follow their rules.
        tools: the verbs of the environment's actions that the planner may use.
        conclude: the word with which the planner proposes the final answer.
        answer_form: the environment's action that ends the episode; {answer} is what to say.
        max_steps: of the planner; after so many the generator answers with what there is.
        grounded: whether the verifier's rule wants a conclusion to stand in a result.
        temperature: of the planner. The others take the most probable token.
        openings: system messages by role instead of `OPENINGS`; "" for none. {instructions},
            {tools} and {conclude} are filled in.
    """

    trained: ClassVar[str] = PLANNER
    renderers: Mapping[str, Renderer]
    tools: tuple[str, ...] = ("search",)
    conclude: str = "answer"
    answer_form: str = "answer: {answer}"
    max_steps: int = 5
    grounded: bool = True
    temperature: float = 1.0
    openings: Mapping[str, str] = field(default_factory=dict)
    needs: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        for what, given in (("role with a model", self.renderers), ("role", self.openings)):
            for role in given:
                if role not in ROLES:
                    raise UnknownName(f"{what} of AgentFlow", role, ROLES)
        if PLANNER not in self.renderers:
            raise ConfigError("AgentFlow's planner is a model: renderers must hold 'planner'")
        verbs = (*self.tools, self.conclude)
        if not self.tools or any(not verb.strip() or ":" in verb for verb in verbs):
            raise ConfigError(f"tools and conclude must be words without a colon, got {verbs!r}")
        if len({verb.casefold() for verb in verbs}) < len(verbs):
            raise ConfigError(f"tools and conclude must differ from one another, got {verbs!r}")
        if self.answer_form.count("{answer}") != 1:
            raise ConfigError(f"answer_form must hold {{answer}} once, got {self.answer_form!r}")
        if self.max_steps < 1:
            raise ConfigError(f"max_steps must be 1 or more, got {self.max_steps!r}")
        if not self.temperature >= 0:
            raise ConfigError(f"temperature must be 0 or more, got {self.temperature!r}")

    @property
    def hint(self) -> str:
        """What the record says of something that is not a step."""
        return f"Say {', '.join(f'{tool}:' for tool in self.tools)} or {self.conclude}: first."

    @property
    def texts(self) -> tuple[str, ...]:
        """What the roles read and say that the environment does not: for a new tokenizer."""
        tools = [f"{tool}:" for tool in (*self.tools, self.conclude)]
        return (*tools, self.hint, NOT_FOUND, STOP, GO_ON, UNKNOWN)

    def suits(self, env: TextEnv, max_turns: int | None = None) -> None:
        """Refuse an environment that would end before the generator can answer.

        Args:
            env: the environment. max_turns: the harness's limit, if there is one.

        Raises:
            ConfigError: it ends after `max_steps` turns or fewer.
        """
        limits = [limit for limit in (env.max_turns, max_turns) if limit is not None]
        most = min(limits, default=None)
        if most is not None and most <= self.max_steps:
            raise ConfigError(
                f"episodes end after {most} turns, and AgentFlow needs one more than its max_steps "
                f"= {self.max_steps} to answer; set max_steps to {most - 1} or less"
            )

    def plan_of(self, action: str) -> str:
        """Return the step that leads to an action of the environment, for demonstrations.

        >>> from agentgym.backends.scripted import Bytes
        >>> flow = AgentFlow({"planner": Renderer(Bytes())}, answer_form="say <{answer}>")
        >>> flow.plan_of("say <42>"), flow.plan_of("search: a door")
        ('answer: 42', 'search: a door')
        """
        before, after = self.answer_form.split("{answer}")
        if action.startswith(before) and action.endswith(after):
            return f"{self.conclude}: {action[len(before) : len(action) - len(after)]}"
        return action

    def begin(self, start: Start) -> Acting:
        """Start with an empty record."""
        return _Flow(self, start)

    def begin_imitating(self, start: Start, player: Acting) -> Acting:
        """Return one whose planner does what `player` does.

        The other roles follow their rules. Those that have a renderer have calls that say so, and
        these are trainable: a warm start then teaches one model all of them.
        """
        return _Flow(self, start, player)


class _Flow:
    """The roles of one episode. With a `player` they are shown instead of asked."""

    def __init__(self, agent: AgentFlow, start: Start, player: Acting | None = None) -> None:
        self.agent, self.player = agent, player
        self.max_context = start.max_context
        self.memory = Memory()
        self.steps, self.finished = 0, False
        self.sessions = {role: new_session() for role in agent.renderers}
        self.openings = {role: _opening(agent, role, start) for role in agent.renderers}
        self.calls: list[Call] = []  # of the turn

    def act(self, view: View) -> Asking:
        """Play one turn: ask the roles until there is an action."""
        agent, memory = self.agent, self.memory
        self.calls = []
        well_formed = True
        if not self.finished:
            memory.observe(view.observation)
            self.finished = view.turn > 0 and (yield from self.verify(view))
        while not self.finished and self.steps < agent.max_steps:
            self.steps += 1
            said = yield from self.plan(view)
            step = _parse_step(said, (*agent.tools, agent.conclude))
            if step is None:
                well_formed = False
                memory.note(said, agent.hint)
                continue
            tool, goal = step
            memory.note(f"{tool}: {goal}")
            if tool != agent.conclude:
                action = yield from self.execute(tool, goal, view)
                return Decision(action, tuple(self.calls), well_formed)
            memory.conclusion, memory.proposed = goal, True
            self.finished = yield from self.verify(view)
            if not self.finished:
                memory.now, memory.proposed = (Message("user", NOT_FOUND),), False
        self.finished = True
        answer = yield from self.generate(view)
        action = agent.answer_form.replace("{answer}", answer)
        return Decision(action, tuple(self.calls), well_formed)

    # The roles ----------------------------------------------------------------------------------

    def plan(self, view: View) -> Saying:
        """Return what the planner, or who is imitated, proposes."""
        shown = None
        if self.player is not None:
            decision = yield from self.player.act(replace(view, seed=self.seed(view)))
            shown = self.agent.plan_of(decision.action)
        return (yield from self.say(PLANNER, view, lambda: shown or ""))

    def execute(self, tool: str, goal: str, view: View) -> Saying:
        """Return the action for a step."""
        return (yield from self.say(EXECUTOR, view, lambda: f"{tool}: {goal}"))

    def verify(self, view: View) -> Generator[tuple[SampleRequest, ...], list[Sample], bool]:
        """Return whether the record is enough."""
        found = self.memory.conclusion if self.memory.proposed else None
        enough = found is not None and (not self.agent.grounded or self.memory.holds(found))
        said = yield from self.say(VERIFIER, view, lambda: STOP if enough else GO_ON)
        return said.casefold().lstrip("'\"*").startswith(STOP)

    def generate(self, view: View) -> Saying:
        """Return the final answer."""
        return (yield from self.say(GENERATOR, view, lambda: self.memory.conclusion or UNKNOWN))

    def say(self, role: str, view: View, rule: Callable[[], str]) -> Saying:
        """Ask a role's model, or follow its rule, or write its rule down as if a model spoke.

        Raises:
            StopEpisode: the record leaves no room in the context.
        """
        renderer = self.agent.renderers.get(role)
        if renderer is None:
            return rule()
        request = self.request(role, renderer, view)
        if self.player is not None:
            text = rule()
            ids = renderer.reply_ids(text)
            sample = Sample(ids, (0.0,) * len(ids), text, "stop", 0)
        else:
            [sample] = yield (request,)
        trainable = role == PLANNER or self.player is not None
        self.calls.append(call_of(request, sample, trainable=trainable))
        return parse_action(sample.text)[0]

    def request(self, role: str, renderer: Renderer, view: View) -> SampleRequest:
        """Return the request to a role: its opening and the record as it is now."""
        memory = self.memory
        messages, _ = Workspace().show(self.openings[role], memory.history, memory.now)
        prompt_ids = renderer.first(messages)
        max_tokens = view.max_tokens
        if self.max_context is not None:
            max_tokens = min(max_tokens, self.max_context - len(prompt_ids))
        if max_tokens < 1:
            raise StopEpisode(Stop.CONTEXT)
        return SampleRequest(
            session=self.sessions[role],
            role=role,
            context_ids=prompt_ids,
            prompt_ids=prompt_ids,
            fresh=True,
            messages=messages,
            max_tokens=max_tokens,
            temperature=self.agent.temperature if role == PLANNER else 0.0,
            stop_ids=renderer.stop_ids,
            seed=self.seed(view),
        )

    def seed(self, view: View) -> int:
        """Return the seed of the turn's next call."""
        place = (view.seed, len(self.calls))
        return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])


def _opening(agent: AgentFlow, role: str, start: Start) -> tuple[Message, ...]:
    text = agent.openings.get(role, OPENINGS[role])
    for key, value in (
        ("{tools}", ", ".join(agent.tools)),
        ("{conclude}", agent.conclude),
        ("{instructions}", start.instructions),
    ):
        text = text.replace(key, value)
    return (Message("system", text.strip()),) if text.strip() else ()


def _parse_step(said: str, tools: Sequence[str]) -> tuple[str, str] | None:
    """Return tool and sub-goal of the last line that names both.

    >>> _parse_step("I need the teacher.\\nSearch :  Ada  Holt ", ["search", "answer"])
    ('search', 'Ada Holt')
    >>> _parse_step("search:", ["search"]), _parse_step("look: x", ["search"])
    (None, None)
    """
    known = {tool.casefold(): tool for tool in tools}
    for line in reversed(said.splitlines()):
        match = _STEP.fullmatch(line)
        if match and match[1].casefold() in known and (goal := " ".join(match[2].split())):
            return known[match[1].casefold()], goal
    return None
