"""Which format a model speaks: what its chat template says, or what the user names."""

from collections.abc import Iterable, Mapping, Sequence

from agentgym.errors import UnknownName
from agentgym.toolcalls.base import ToolFormat
from agentgym.toolcalls.hermes import Hermes
from agentgym.toolcalls.llama import Llama
from agentgym.toolcalls.qwen_xml import QwenXml
from agentgym.toolcalls.react import React
from agentgym.types import JSON, Message

FORMATS: Mapping[str, type[ToolFormat]] = {
    each.name: each for each in (Hermes, QwenXml, Llama, React)
}


def detect(template: str) -> str | None:
    """Return the name of the format that a chat template writes calls in; None: none we know.

    >>> detect("... '<tool_call>' ... '\\"arguments\\": ' ... tools ...")
    'hermes'
    """
    if "tools" not in template or "<arg_key>" in template:  # the latter: GLM's own
        return None
    if "<function=" in template and "<parameter=" in template:
        return "qwen_xml"
    if "<tool_call>" in template and "arguments" in template:
        return "hermes"
    if "ipython" in template and "parameters" in template:
        return "llama"
    return None


def tool_format(name: str, tools: Iterable[Mapping[str, JSON]] = ()) -> ToolFormat:
    """Return the format of a name.

    Raises:
        UnknownName: there is none.
        ConfigError: one of the tools is no tool.
    """
    if name not in FORMATS:
        raise UnknownName("tool-call format", name, FORMATS)
    return FORMATS[name](tools)


def in_words(
    form: ToolFormat, messages: Sequence[Message], *, told: bool = True
) -> tuple[Message, ...]:
    """Return a chat for a template that knows no tools: instructions, calls and results are text.

    The instructions end the system message; without `told` there are none. Results become a user's
    message; adjacent ones, and what a user says next to them, become one, since templates want
    roles to alternate.
    """
    rest = list(messages)
    opening = [rest.pop(0).content] if rest and rest[0].role == "system" else []
    if told:
        opening.append(form.instructions())
    chat = [Message("system", "\n\n".join(opening))] if opening else []
    joins = False
    for message in rest:
        if message.role == "assistant" and message.tool_calls:
            message = Message("assistant", form.write(message.tool_calls, message.content))
        is_result = message.role == "tool"
        if is_result:
            message = Message("user", form.result(message.content))
        if chat and chat[-1].role == message.role == "user" and (joins or is_result):
            message = Message("user", f"{chat.pop().content}\n{message.content}")
            joins = True
        else:
            joins = is_result
        chat.append(message)
    return tuple(chat)
