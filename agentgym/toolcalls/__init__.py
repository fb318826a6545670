"""Tool calls as models write them, and their one canonical form.

A format reads what a model said (`parse`: text, calls, problems) and writes what it would say
(`write`). A malformed call is a `Problem`, data for the next observation, never an exception.
"""

from agentgym.toolcalls.base import (
    MAX_CALLS,
    MAX_CHARS,
    Reply,
    ToolFormat,
    functions,
)
from agentgym.toolcalls.choose import FORMATS, detect, in_words, tool_format
from agentgym.toolcalls.hermes import Hermes
from agentgym.toolcalls.llama import Llama
from agentgym.toolcalls.qwen_xml import QwenXml
from agentgym.toolcalls.react import React
from agentgym.toolcalls.strict import MAX_DEPTH, Problem

__all__ = [
    "FORMATS",
    "MAX_CALLS",
    "MAX_CHARS",
    "MAX_DEPTH",
    "Hermes",
    "Llama",
    "Problem",
    "QwenXml",
    "React",
    "Reply",
    "ToolFormat",
    "detect",
    "functions",
    "in_words",
    "tool_format",
]
