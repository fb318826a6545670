"""A policy: one model call per turn, whose reply holds the action."""

from dataclasses import dataclass, field

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
from agentgym.backends.base import Sample, SampleRequest
from agentgym.context import Append, Context, Exchange
from agentgym.errors import ConfigError
from agentgym.render import Renderer, parse_action
from agentgym.toolcalls import Reply
from agentgym.types import Message, Stop


@dataclass(frozen=True)
class PolicyAgent:
    """One model call per turn; its reply holds the action.

    Where there are tools (the environment's, or others that the renderer has already), the action
    is the whole reply in canonical form, calls and malformed calls included:
    `agentgym.toolcalls.Reply.action`. With an `action_tag` the environment's are left alone.

    Attributes:
        renderer: of the backend's tokenizer.
        context: what the model sees: `Append()` or `Window(n)`.
        temperature: 0 takes the most probable token.
        action_tag: the reply must hold the action as `<tag>...</tag>`; "": the reply is the action.
        role: the name of its calls. trainable: whether its tokens enter a loss.
        opening: the system message; `{instructions}` stands for the environment's own. "": none.
    """

    renderer: Renderer
    context: Context = field(default_factory=Append)
    temperature: float = 1.0
    action_tag: str = ""
    role: str = "policy"
    trainable: bool = True
    opening: str = "{instructions}"
    needs: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ConfigError(f"temperature must be 0 or more, got {self.temperature!r}")
        if self.action_tag and self.renderer.tool_format:
            raise ConfigError(
                f"the action is either in <{self.action_tag}> tags or the calls of tools; leave "
                "out action_tag or the renderer's tools"
            )

    def begin(self, start: Start) -> "PolicyActing":
        """Start a new token sequence."""
        return PolicyActing(self, start)

    def begin_imitating(self, start: Start, player: Acting) -> Acting:
        """Return one that says what `player` does."""
        return _Demonstrating(PolicyActing(self, start), player)


class PolicyActing:
    """The token buffer and the chat of one episode of a `PolicyAgent`."""

    def __init__(self, agent: PolicyAgent, start: Start) -> None:
        self.agent, self.start, self.renderer = agent, start, agent.renderer
        if start.tools and not agent.action_tag and agent.renderer.tool_format is None:
            self.renderer = agent.renderer.with_tools(start.tools)
        opening = agent.opening.replace("{instructions}", start.instructions).strip()
        self.opening = (Message("system", opening),) if opening else ()
        self.history: list[Exchange] = []
        self.buffer: list[int] = []  # prompts and samples so far, as the model saw them
        self.last: Sample | None = None
        self.thought = False  # whether a reply of the present sequence has thinking
        self.session = new_session()

    def act(self, view: View) -> Asking:
        """Ask for one sample and take the action from it."""
        request = self.request(view)
        [sample] = yield (request,)
        return self.decide(view, request, sample)

    def request(self, view: View) -> SampleRequest:
        """Return the request of this turn.

        Raises:
            StopEpisode: the prompt leaves no room in the context.
        """
        agent, now = self.agent, view.observation.as_messages()
        messages, extends = agent.context.show(self.opening, self.history, now)
        delta = None
        if extends and self.last is not None:
            delta = self.renderer.extend(self.last.ids, self.last.text, now, thought=self.thought)
        fresh = delta is None
        prompt_ids = self.renderer.first(messages) if delta is None else delta
        context_ids = [*prompt_ids] if fresh else [*self.buffer, *prompt_ids]
        max_tokens = view.max_tokens
        if self.start.max_context is not None:
            max_tokens = min(max_tokens, self.start.max_context - len(context_ids))
        if max_tokens < 1:
            raise StopEpisode(Stop.CONTEXT)
        self.buffer = context_ids
        return SampleRequest(
            session=self.session,
            role=agent.role,
            context_ids=context_ids,
            prompt_ids=prompt_ids,
            fresh=fresh,
            messages=messages,
            max_tokens=max_tokens,
            temperature=agent.temperature,
            stop_ids=self.renderer.stop_ids,
            seed=view.seed,
        )

    def decide(self, view: View, request: SampleRequest, sample: Sample) -> Decision:
        """Extend the buffer by a sample and take the action from it."""
        self.buffer = [*self.buffer, *sample.ids]
        self.last = sample
        self.history.append(Exchange(view.observation.as_messages(), sample.text))
        self.thought = "</think>" in sample.text or (self.thought and not request.fresh)
        form = self.renderer.tool_format
        if form is None:
            action, well_formed = parse_action(sample.text, self.agent.action_tag)
        else:
            reply = form.parse(sample.text)
            action, well_formed = reply.action, not reply.problems
        call = call_of(request, sample, trainable=self.agent.trainable)
        return Decision(action, (call,), well_formed)


class _Demonstrating:
    """Another's decisions, said by the policy."""

    def __init__(self, policy: PolicyActing, player: Acting) -> None:
        self.policy, self.player = policy, player

    def act(self, view: View) -> Asking:
        decision = yield from self.player.act(view)
        request = self.policy.request(view)
        agent = self.policy.agent
        tag, form = agent.action_tag, self.policy.renderer.tool_format
        text = f"<{tag}>{decision.action}</{tag}>" if tag else decision.action
        if form is not None:
            reply = Reply.of_action(decision.action)
            text = form.write(reply.calls, reply.text)
        ids = self.policy.renderer.reply_ids(text)
        sample = Sample(ids, (0.0,) * len(ids), text, "stop", 0)
        said = self.policy.decide(view, request, sample)
        return Decision(decision.action, said.calls, decision.well_formed)
