"""How the checks of sandboxes use one, and say what they did not like."""

from collections.abc import Callable

from agentgym.errors import SandboxError
from agentgym.testing.report import Failed
from agentgym.tools.sandbox.base import MAX_OUTPUT, ExecResult, Sandbox

TRY = """
import os, errno
def tried(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "done"
"""


def python(
    sandbox: Sandbox, code: str, *, timeout_s: float = 30.0, max_output: int = MAX_OUTPUT
) -> ExecResult:
    """Run Python code in a sandbox."""
    argv = ["python3", "-I", "-S", "-c", code]
    return sandbox.exec(argv, timeout_s=timeout_s, max_output=max_output)


def says(sandbox: Sandbox, code: str) -> str:
    """Return what Python code prints, which must succeed."""
    result = python(sandbox, code)
    expect(
        result.ok, f"the attack itself failed: {result.stderr.decode('utf-8', 'replace')[-500:]}"
    )
    return result.stdout.decode("utf-8", "replace").strip()


def expect(holds: object, otherwise: str) -> None:
    """Fail, unless something holds."""
    if not holds:
        raise Failed(otherwise)


def same(what: str, got: object, wanted: object) -> None:
    """Fail, unless two things are equal."""
    if got != wanted:
        raise Failed(f"{what}: {got!r:.300} instead of {wanted!r:.300}")


def refuses(kind: type[SandboxError], work: Callable[[], object]) -> None:
    """Fail, unless some work raises an error of a kind."""
    try:
        got = work()
    except kind:
        return
    except SandboxError as error:
        raise Failed(f"{type(error).__name__} instead of {kind.__name__}: {error}") from error
    raise Failed(f"no {kind.__name__}, but {got!r:.200}")


def no_others(sandbox: Sandbox) -> None:
    """Fail if anything runs beside the first process and the one that looks."""
    code = "import os; print([p for p in os.listdir('/proc') if p.isdigit() and p != '1'])"
    seen = says(sandbox, f"{code}; print(os.getpid())").splitlines()
    same("processes beside the first", seen[0], f"['{seen[1]}']")


def alive(sandbox: Sandbox) -> None:
    """Fail, unless the next command and a file of before are as they should be."""
    result = sandbox.exec(["sh", "-c", "echo on"], timeout_s=10)
    same("the next command", (result.stdout, result.exit_code), (b"on\n", 0))
