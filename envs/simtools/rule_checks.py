"""What is wrong with the rules and plans of a file; see `rules` for their form."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agentgym.envs.simtools.rules import PATH_STEP
from agentgym.errors import nearest

_KINDS: Final = ("called", "says", "never", "all", "any")

Tools = Mapping[str, Mapping[str, Any]]


def rule_problem(rule: object, tools: Tools, where: str) -> str | None:
    """Return what is wrong with a rule, or None. `tools` maps names to schemas of parameters."""
    if not isinstance(rule, Mapping):
        return f"{where}: must be an object, got {rule!r:.80}"
    kinds = [key for key in _KINDS if key in rule]
    if len(kinds) != 1:
        return f"{where}: needs exactly one of {', '.join(_KINDS)}, got {sorted(rule)!r:.80}"
    [kind] = kinds
    more = {"called": {"with", "not_after"}}.get(kind, set())
    for key in rule.keys() - {kind} - more:
        return f"{where}: {key!r} is no key of a {kind!r} rule; {nearest(key, {kind, *more})}"
    given = rule[kind]
    if kind in ("all", "any"):
        if not isinstance(given, list) or not given:
            return f"{where}.{kind}: must be a list of rules"
        inner = (rule_problem(each, tools, f"{where}.{kind}[{k}]") for k, each in enumerate(given))
        return next((problem for problem in inner if problem), None)
    if kind == "says":
        return _value_problem(given, tools, f"{where}.says")
    others = rule.get("not_after", [])
    if not isinstance(others, list):
        return f"{where}.not_after: must be a list of tools"
    for name in [given, *others]:
        if name not in tools:
            return f"{where}: there is no tool {name!r}; {nearest(str(name), tools)}"
    return _arguments_problem(given, rule.get("with", {}), tools, f"{where}.with")


def plan_problem(plan: Sequence[Mapping[str, Any]], tools: Tools, where: str) -> str | None:
    """Return what is wrong with the plan of a user turn, or None."""
    for k, step in enumerate(plan):
        place = f"{where}[{k}]"
        last = k == len(plan) - 1
        if last != ("say" in step):
            return f"{where}: a plan ends with its only step 'say'"
        if last:
            if not isinstance(step["say"], list) or step.keys() != {"say"}:
                return f"{place}: must be {{'say': [values]}}"
            problems = [
                _value_problem(v, tools, f"{place}.say[{i}]") for i, v in enumerate(step["say"])
            ]
        else:
            if step.get("call") not in tools:
                near = nearest(str(step.get("call")), tools)
                return f"{place}.call: there is no tool {step.get('call')!r}; {near}"
            if step.keys() - {"call", "arguments"}:
                return f"{place}: has only 'call' and 'arguments'"
            given = step.get("arguments", {})
            problems = [_arguments_problem(step["call"], given, tools, f"{place}.arguments")]
        found = next((problem for problem in problems if problem), None)
        if found:
            return found
    return None if plan else f"{where}: a plan has at least the step 'say'"


def _arguments_problem(tool: str, given: object, tools: Tools, where: str) -> str | None:
    if not isinstance(given, Mapping):
        return f"{where}: must be an object, got {given!r:.80}"
    known = tools[tool].get("properties", {})
    for key, value in given.items():
        if key not in known:
            return f"{where}: {tool!r} has no argument {key!r}; {nearest(key, known)}"
        problem = _value_problem(value, tools, f"{where}.{key}")
        if problem:
            return problem
    return None


def _value_problem(value: object, tools: Tools, where: str) -> str | None:
    if not isinstance(value, Mapping) or "result" not in value:
        return None
    if value.keys() - {"result", "of", "at"} or not isinstance(value.get("at"), str):
        return f"{where}: a value from a result has the keys 'result', 'at' and perhaps 'of'"
    if value["result"] not in tools:
        return (
            f"{where}: there is no tool {value['result']!r}; {nearest(str(value['result']), tools)}"
        )
    if not re.fullmatch(rf"{PATH_STEP.pattern}(?:\.{PATH_STEP.pattern})*", value["at"]):
        return f"{where}.at: {value['at']!r:.80} is no path such as 'hotels[min price].hotel_id'"
    return _arguments_problem(value["result"], value.get("of", {}), tools, f"{where}.of")
