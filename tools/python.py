"""Python in a sandbox: what a program prints, and the value of its last expression."""

import threading
import weakref
from typing import Final

from agentgym.errors import BadCommand, ConfigError, SandboxDied, ToolError
from agentgym.tools.sandbox import ExecResult, Limits, Sandbox, choose, open_sandbox

__all__ = ["Python"]

_SHOW_LAST: Final = """
import ast, sys
code = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
sys.argv, names = [""], {"__name__": "__main__", "__builtins__": __builtins__}
import linecache
linecache.cache["<code>"] = (len(code), None, code.splitlines(True), "<code>")
sys.path.insert(0, "")
def run():
    tree = ast.parse(code, "<code>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<code>", "exec"), names)
    if last is not None:
        sys.displayhook(eval(compile(ast.Expression(last.value), "<code>", "eval"), names))
try:
    run()
except Exception:
    import traceback
    kind, error, trace = sys.exc_info()
    while trace and trace.tb_frame.f_code.co_filename != "<code>":
        trace = trace.tb_next
    sys.stdout.flush()
    traceback.print_exception(kind, error, trace)
    sys.exit(1)
"""


class Python:
    """Run Python code in a sandbox.

    Every call is a new process: names of one call are not there in the next, files in the working
    folder are. So each call stands for itself, and nothing of an earlier one can go on running.

    The sandbox is started by the first call. It cannot be copied once it is, since its files are in
    there.
    """

    def __init__(
        self,
        sandbox: str | Sandbox = "auto",
        *,
        image: str = "",
        limits: Limits | None = None,
        timeout_s: float = 8.0,
        max_output: int = 10_000,
    ) -> None:
        """Choose a sandbox.

        Args:
            sandbox: what `open_sandbox` takes, or an open one, which stays its owner's.
            image: of Docker. limits: what programs may use.
            timeout_s: seconds of one call; less than the `timeout_s` of the toolset.
            max_output: bytes of each stream that are shown, half from the beginning.

        Raises:
            ConfigError: there is no such sandbox here; says what to install.
        """
        if not timeout_s > 0 or max_output < 1:
            said = f"timeout_s={timeout_s!r} and max_output={max_output!r}"
            raise ConfigError(f"{said} must be above 0")
        if isinstance(sandbox, str):
            choose(sandbox, image)
        self.timeout_s, self.max_output = timeout_s, max_output
        self._how = (sandbox, image, limits)
        self._sandbox: Sandbox | None = None
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: object) -> "Python":
        kind, image, limits = self._how
        if self._sandbox is not None or not isinstance(kind, str):
            raise NotImplementedError("the files are in a sandbox; make a new Python() instead")
        return Python(
            kind,
            image=image,
            limits=limits,
            timeout_s=self.timeout_s,
            max_output=self.max_output,
        )

    def __call__(self, code: str) -> str:
        """Run Python code and show what it prints, and the value of its last expression.

        Each call is a new process with the standard library and no network. Names are not kept from
        call to call; files in the working folder are.

        Args:
            code: a whole program.
        """
        argv = ["python3", "-I", "-c", _SHOW_LAST]
        with self._lock:
            try:
                result = self._open().exec(
                    argv,
                    stdin=code.encode("utf-8", "surrogatepass"),
                    timeout_s=self.timeout_s,
                    max_output=self.max_output,
                )
            except BadCommand as error:
                raise ToolError(str(error)) from None
            except SandboxDied as error:
                self._drop()
                if not error.out_of_memory:
                    raise
                return "the memory was used up; all files are gone"
        return self._shown(result)

    def close(self) -> None:
        """End the sandbox, unless it was given."""
        with self._lock:
            self._drop()

    def _open(self) -> Sandbox:
        kind, image, limits = self._how
        if self._sandbox is None:
            if isinstance(kind, str):
                self._sandbox = open_sandbox(kind, image=image, limits=limits)
                weakref.finalize(self, self._sandbox.close)
            else:
                self._sandbox = kind
        return self._sandbox

    def _drop(self) -> None:
        if self._sandbox is not None and isinstance(self._how[0], str):
            self._sandbox.close()
        self._sandbox = None

    def _shown(self, result: ExecResult) -> str:
        """Return what a model is shown of a result."""
        parts = [part.decode("utf-8", "replace") for part in (result.stdout, result.stderr) if part]
        if result.timed_out:
            parts.append(f"(stopped after {self.timeout_s:g} s)")
        elif result.oom_killed:
            parts.append("(killed: the memory was used up)")
        elif result.signal is not None:
            parts.append(f"(killed by signal {result.signal})")
        elif result.exit_code and not result.stderr:
            parts.append(f"(exit status {result.exit_code})")
        shown = "\n".join(part.rstrip("\n") for part in parts)
        return shown or "(no output)"
