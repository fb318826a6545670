"""Runs inside a sandbox: calls one function of a module and writes what it returns, as JSON.

It is given the module, the arguments, and nothing of what should come out. Whatever the module does
to this process, it can only change its own answers. It runs on the Python of the sandbox: only the
standard library, and nothing newer than Python 3.8.
"""

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module takes time to import
    from typing import Any


def main() -> None:
    """Read what is asked, answer one line per call."""
    asked = json.loads(sys.stdin.buffer.read().decode("ascii"))
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # what the module prints is no answer
        os.dup2(null, number)
    names: dict[str, Any] = {"__name__": "solution"}
    function: Any = None
    said = ""
    try:
        exec(compile(asked["source"], "solution.py", "exec"), names)
        function = names[asked["function"]]
    except BaseException as error:
        said = type(error).__name__
    for arguments in asked["calls"]:
        answer = {"error": said}
        if not said:
            try:
                answer = {"value": function(*arguments)}
            except BaseException as error:
                answer = {"error": type(error).__name__}
        try:
            text = json.dumps(answer, allow_nan=False)
        except BaseException:
            text = '{"error": "(its value is not JSON)"}'
        answers.write(text + "\n")
        answers.flush()


main()
