"""Messages to token ids and back: the only reader of chat templates.

Tokens in, tokens out. The token buffer of an episode is the source of truth: the first prompt is
rendered whole, and every later turn only adds the tokens between one sample and the next. What was
sampled is never decoded and tokenised again.

That needs a template that extends its own prefix: rendering one more turn must not change what was
rendered before. Whether it does is checked once, at the start, on a fixed short chat. With one that
rewrites history (strips the thinking of earlier turns, say) such turns are `fresh`: new sequences.

What a model is told of tools comes from the template where it speaks of them in the wanted format,
and from the format's own words otherwise; see `agentgym.toolcalls`.
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agentgym.errors import ConfigError, UserError
from agentgym.toolcalls import ToolFormat, detect, in_words, tool_format
from agentgym.types import JSON, ChatRole, Message, ToolCall

OnRewrite = Literal["fresh", "refuse", "keep"]

_REPLY = "sentinel reply"
_THINKING = "<think>\nsentinel thought\n</think>\n\n"
_BASE = (Message("user", "first"),)


class Renderer:
    """Renders chats for one tokenizer.

    Attributes:
        stop_ids: the tokens that end a reply: the template's end of turn, and end of text.
        turn_end_id: the template's own end-of-turn token; None where it has none.
        extends: whether a user's message after a plain reply leaves what is before it unchanged.
        extends_thinking: the same after a reply with a `<think>` block.
        extends_calls: the same for a tool's result after a reply with a call; None without tools.
        tool_format: how calls are written; None without tools.
        native_tools: whether the template itself tells the model of the tools.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        on_rewrite: OnRewrite = "fresh",
        template_options: Mapping[str, JSON] | None = None,
        tools: Sequence[Mapping[str, JSON]] = (),
        tool_calls: str = "auto",
        tell_tools: bool = True,
    ) -> None:
        """Take a tokenizer of `transformers` and try out its chat template.

        Args:
            tokenizer: a loaded tokenizer.
            on_rewrite: what to do in a turn whose template rewrites earlier ones. "fresh": start a
                new sequence, as the template wants it. "refuse": an error. "keep": go on with the
                tokens as they were sampled, although the template would show them differently.
            template_options: passed to the template, e.g. {"enable_thinking": False}.
            tools: what the model may call: {"name", "description", "parameters": a JSON schema},
                or that under "function", as templates take it.
            tool_calls: the name of the format of calls. "auto": that of the template, or "react"
                where the template has none that is known.
            tell_tools: whether the model is told of the tools at all. A small policy that learned
                its calls by imitation cannot read so long a prompt.

        Raises:
            ConfigError: the tokenizer has no chat template, or one that fails or hides replies;
                or on_rewrite is "refuse" and no turn could ever be extended; or a tool is none,
                or the tokenizer would drop the tags of its calls.
            UnknownName: there is no such format of calls.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError(
                f"the tokenizer of {getattr(tokenizer, 'name_or_path', '') or 'this model'!r} has "
                "no chat template; use an instruction-tuned model, or set tokenizer.chat_template "
                "(a file chat_template.jinja in the model's folder) to the format to train in"
            )
        if on_rewrite not in ("fresh", "refuse", "keep"):
            raise ConfigError(f"on_rewrite must be fresh, refuse or keep, got {on_rewrite!r}")
        self._tokenizer = tokenizer
        self._options = dict(template_options or {})
        self.on_rewrite: OnRewrite = on_rewrite
        special = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
        special += [t for t in tokenizer.all_special_tokens if t not in special]
        self._special = re.compile("|".join(map(re.escape, special)) or r"(?!)")
        self._system_in_user = False
        self.tool_format: ToolFormat | None = None
        self.native_tools = False
        self._template_tools: list[Any] = []
        self._tool_calls, self._tell_tools = tool_calls, tell_tools
        self._with_tools = functools.lru_cache(maxsize=64)(self._made_with_tools)
        if tools:
            self._take_tools(tools)
        self._try_out()
        # Members of a group see the same texts again and again.
        self._first = functools.lru_cache(maxsize=256)(self._first_ids)
        self._delta = functools.lru_cache(maxsize=4096)(self._delta_ids)
        self._reply = functools.lru_cache(maxsize=4096)(self._reply_ids)

    def with_tools(self, tools: Sequence[Mapping[str, JSON]]) -> "Renderer":
        """Return one that differs in the tools: those of an episode.

        Raises:
            ConfigError, UnknownName: as the constructor.
        """
        return self._with_tools(json.dumps(list(tools)))

    def first(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Return the whole prompt that ends where the reply begins."""
        chat = tuple(messages)
        return self._first(chat) if _hashable(chat) else self._first_ids(chat)

    def extend(
        self,
        sample_ids: Sequence[int],
        text: str,
        messages: Sequence[Message],
        *,
        thought: bool = False,
    ) -> tuple[int, ...] | None:
        """Return what stands between a sample and the next reply.

        History, sample and these ids together are the next prompt. A sample that was cut before it
        ended gets its missing end of turn here.

        Args:
            sample_ids: the sample, its stop token included if there is one.
            text: the sample decoded.
            messages: the new messages that follow it.
            thought: whether an earlier reply of the sequence has thinking, which a template may
                keep as long as results of tools follow, and strip when a user speaks.

        Returns:
            The ids, or None where the template rewrites what came before: the next prompt must
            then be rendered afresh.

        Raises:
            UserError: the template rewrites history and the renderer was told to refuse that.
        """
        roles = tuple(message.role for message in messages)
        thinking = thought or "</think>" in text
        calling = self.tool_format is not None and self.tool_format.mentions_calls(text)
        if self.on_rewrite != "keep" and not self._keeps(thinking, calling, roles):
            if self.on_rewrite == "refuse":
                raise UserError(
                    "the chat template rewrites earlier turns, which on_rewrite='refuse' forbids"
                )
            return None
        ended = bool(sample_ids) and sample_ids[-1] == self.turn_end_id
        new = tuple(messages)
        return self._delta(new, ended) if _hashable(new) else self._delta_ids(new, ended)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of plain text, such as a reply that a demonstrator gives."""
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        if fast is not None:  # the same ids, without a call's overhead of five times the work
            return tuple(fast.encode(text, add_special_tokens=False).ids)
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens."""
        decoded: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return decoded

    def reply_ids(self, text: str) -> tuple[int, ...]:
        """Return the ids of a complete reply as a policy would have sampled it."""
        return self._reply(text)

    # ------------------------------------------------------------------------------------------

    def _try_out(self) -> None:
        """Render a fixed short chat and learn from it how the template works."""
        try:
            with_system = self._render((Message("system", "sentinel system"), *_BASE), open_=True)
            self._system_in_user = "sentinel system" not in with_system
        except ConfigError:
            self._system_in_user = True  # e.g. Gemma's template, which refuses that role
        chat = self._render(
            (*_BASE, Message("assistant", _REPLY), Message("user", "then")), open_=True
        )
        if _REPLY not in chat:
            raise ConfigError("the chat template leaves out what the assistant said")
        self._keeps = functools.cache(self._keeps_prefix)
        self.extends = self._keeps(False, False, ("user",))
        self.extends_thinking = self._keeps(True, False, ("user",))
        self.extends_calls = self._keeps(False, True, ("tool",)) if self.tool_format else None
        closing = chat[chat.rindex(_REPLY) + len(_REPLY) :]
        end = self._special.match(closing.lstrip())
        self._turn_end = end[0] if end else ""
        self.turn_end_id: int | None = (
            self._tokenizer.convert_tokens_to_ids(self._turn_end) if end else None
        )
        eos = self._tokenizer.eos_token_id
        found = [self.turn_end_id, *(eos if isinstance(eos, list) else [eos])]
        if self.tool_format:
            ends = [each for each in self.tool_format.stop_tokens if self._special.fullmatch(each)]
            found += [self._tokenizer.convert_tokens_to_ids(each) for each in ends]
        self.stop_ids = tuple(dict.fromkeys(i for i in found if i is not None))
        if not self.stop_ids:
            raise ConfigError(
                "neither the chat template nor the tokenizer has a token that ends a reply; set "
                "tokenizer.eos_token"
            )
        if self.on_rewrite == "refuse" and not self.extends:
            raise ConfigError(
                "the chat template changes earlier turns when a turn is added, which "
                "on_rewrite='refuse' forbids; use 'fresh' (a new sequence per turn) or 'keep'"
            )

    def _made_with_tools(self, tools: str) -> "Renderer":
        return Renderer(
            self._tokenizer,
            on_rewrite=self.on_rewrite,
            template_options=self._options,
            tools=json.loads(tools),
            tool_calls=self._tool_calls,
            tell_tools=self._tell_tools,
        )

    def _take_tools(self, tools: Sequence[Mapping[str, JSON]]) -> None:
        """Settle on a format of calls, and on who tells the model of the tools."""
        named = self._tool_calls
        template = self._tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("tool_use") or "".join(template.values())
        spoken = detect(str(template))
        form = tool_format((spoken or "react") if named == "auto" else named, tools)
        dropped = [tag for tag in form.tags if self._special.fullmatch(tag)]
        if dropped:
            raise ConfigError(
                f"the tokenizer takes {dropped[0]} for a control token and drops it from what the "
                f"model says, so calls in the format {form.name!r} cannot be read; choose another, "
                "e.g. tool_calls='react'"
            )
        self.tool_format = form
        if form.name == spoken and self._tell_tools:
            self._template_tools = [
                {"type": "function", "function": self._defused_json(tool)} for tool in form.tools
            ]
            self.native_tools = self._template_knows_tools()
        if not self.native_tools:
            self._template_tools = []

    def _template_knows_tools(self) -> bool:
        """Whether the template shows the tools, and their results after a reply."""
        chat = (*_BASE, Message("assistant", _REPLY), Message("tool", "sentinel result"))
        self.native_tools = True  # so that nothing is put into words while it is tried out
        try:
            shown = self._render(chat, open_=True)
        except ConfigError:
            return False
        return all(
            text in shown
            for text in ("sentinel result", *(t["function"]["name"] for t in self._template_tools))
        )

    def _keeps_prefix(self, thinking: bool, calling: bool, roles: tuple[ChatRole, ...]) -> bool:
        """Whether messages of these roles after a reply leave it and all before it as they were."""
        reply = (_THINKING if thinking else "") + _REPLY
        if calling and self.tool_format:
            call = ToolCall(self.tool_format.tools[0]["name"], {"sentinel": "argument"})
            reply = self.tool_format.write([call], reply)
        chat = (*_BASE, Message("assistant", reply), *(Message(role, "then") for role in roles))
        return self._render(chat, open_=True).startswith(self._render(_BASE, open_=True) + reply)

    def _render(self, messages: Sequence[Message], *, open_: bool) -> str:
        if self.tool_format and not self.native_tools:
            messages = in_words(self.tool_format, messages, told=self._tell_tools)
        chat = [self._plain(message) for message in messages]
        tools = {"tools": self._template_tools} if self._template_tools else {}
        if self._system_in_user and len(chat) > 1 and chat[0]["role"] == "system":
            system = chat.pop(0)
            chat[0] = {**chat[0], "content": f"{system['content']}\n\n{chat[0]['content']}"}
        try:
            text: str = self._tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=open_, **tools, **self._options
            )
        except Exception as error:  # templates raise whatever jinja and they themselves raise
            roles = [message.role for message in messages]
            raise ConfigError(f"the chat template fails on the roles {roles}: {error}") from error
        return text

    def _plain(self, message: Message) -> dict[str, Any]:
        """Return a message as templates take it; text cannot smuggle in control tokens."""
        plain: dict[str, Any] = {
            "role": message.role,
            "content": self._defused(message.content),
        }
        if message.tool_calls:
            plain["tool_calls"] = [
                {
                    "type": "function",
                    "id": call.id,
                    "function": self._defused_json(
                        {"name": call.name, "arguments": dict(call.arguments)}
                    ),
                }
                for call in message.tool_calls
            ]
        if message.tool_call_id:
            plain["tool_call_id"] = message.tool_call_id
        return plain

    def _defused(self, text: str) -> str:
        """Break up special tokens that stand in ordinary text, with a zero-width space."""
        if not self._special.search(text):
            return text
        return self._special.sub(lambda found: found[0][:1] + "\u200b" + found[0][1:], text)

    def _defused_json(self, value: Any) -> Any:
        match value:
            case str():
                return self._defused(value)
            case dict():
                return {self._defused(key): self._defused_json(v) for key, v in value.items()}
            case list() | tuple():
                return [self._defused_json(each) for each in value]
        return value

    def _reply_ids(self, text: str) -> tuple[int, ...]:
        return (*self.encode(self._defused(text)), self.stop_ids[0])

    def _first_ids(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        return self.encode(self._render(messages, open_=True))

    def _delta_ids(self, messages: tuple[Message, ...], ended: bool) -> tuple[int, ...]:
        text = self._render((*_BASE, Message("assistant", _REPLY), *messages), open_=True)
        after = text[text.index(_REPLY) + len(_REPLY) :]  # the first: messages may hold it too
        if not self._turn_end or not after.lstrip().startswith(self._turn_end):
            return self.encode(after)
        # Tokenised behind its end of turn, which some tokenizers take for the start of a text.
        ids = self.encode(after.lstrip())
        return ids[1:] if ended else ids


def _hashable(messages: tuple[Message, ...]) -> bool:
    return not any(message.tool_calls for message in messages)  # their arguments are mappings


def parse_action(text: str, tag: str = "") -> tuple[str, bool]:
    """Return the action in a reply, and whether the reply had the agreed form.

    Thinking is no part of it. Without a tag the rest, stripped, is the action. With one, it is what
    the last `<tag>...</tag>` holds; a reply without it is passed on whole, for the environment to
    refuse.

    >>> parse_action("<think>hm</think> go to desk 1 ")
    ('go to desk 1', True)
    >>> parse_action("I will look. <action>look</action>", "action")
    ('look', True)
    >>> parse_action("look", "action")
    ('look', False)
    """
    _, closed, rest = text.rpartition("</think>")
    if not closed and "<think>" in text:
        return "", False  # cut in the middle of thinking
    if not tag:
        return rest.strip(), True
    found = re.findall(rf"<{re.escape(tag)}>(.*?)</{re.escape(tag)}>", rest, flags=re.DOTALL)
    return (found[-1].strip(), True) if found else (rest.strip(), False)
