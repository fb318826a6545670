"""A repository to repair: in a sandbox, with a shell, judged in another one."""

import difflib
import hashlib
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from agentgym.envs.swe.desk import replaced
from agentgym.errors import BadCommand, NoSuchFile, PathEscape, SandboxDied, SandboxError, ToolError
from agentgym.swe.grade_repository import Repository, RepositoryGrader
from agentgym.swe.run_tests import REPO, TOOLS, put_pytest
from agentgym.swe.trees import BadSubmission, Changes, changes_in, put_tree
from agentgym.swe.verdict import Verdict
from agentgym.tools.sandbox import Caps
from agentgym.tools.sandbox.snapshot import load_files, save_files
from agentgym.types import ToolCall

MAX_VIEW: Final = 400
"""Lines of a file that are shown at once."""

_BEGIN: Final = """
git init -q -b main . && git add -A -f . &&
git -c user.name=agentgym -c user.email=agentgym@localhost commit -q --allow-empty -m base
"""
_SHELL: Final = 'exec 2>&1; trap \'pwd -P >"$OLD_CWD_FILE"\' EXIT; eval "$1"'
_CWD: Final = ".cwd"


@dataclass(frozen=True, slots=True)
class Budget:
    """What commands may take: seconds of one and of all, characters that are shown of each."""

    command_s: float
    episode_s: float
    output: int


class BoxDesk:
    """See `Desk`. The sandbox is started at once, and has one fresh commit without a history."""

    def __init__(
        self, repository: Repository, grader: RepositoryGrader, budget: Budget, *, states: bool
    ) -> None:
        """Lay out a repository.

        Raises:
            ConfigError: there is no sandbox on this machine. EpisodeFailure: it did not start.
        """
        self.budget, self.states = budget, states
        self._lay_out(repository, grader)
        self.submitted = self.tests_run = False
        self.gone = ""  #: why the sandbox is no longer there, if the agent is to blame
        self._changes: Changes | None = {}
        self._problem: BadSubmission | None = None
        self._cwd, self._spent_s = REPO, 0.0
        self.box = grader.open()
        put_tree(self.box, repository.tree)
        put_pytest(self.box)
        # git is not everywhere, and nothing but the agent's own convenience depends on it
        self.box.exec(["sh", "-c", _BEGIN], cwd=REPO, timeout_s=60)

    def tools(self) -> Mapping[str, object]:
        """Return the tools by name."""
        return {"bash": self.bash, "view": self.view, "edit": self.edit, "submit": self.submit}

    def bash(self, command: str) -> str:
        """Run a command in a shell and show what it prints.

        Every call is a new shell; the folder it ends in is where the next begins. Nothing that it
        leaves running goes on. There is no network.

        Args:
            command: one command, or a script.
        """
        self._open()
        left = self.budget.episode_s - self._spent_s
        if left <= 0:
            raise ToolError("the time for commands is used up; call submit")
        self.tests_run = self.tests_run or "pytest" in command or "unittest" in command
        self._changes = None
        base = self.box.workdir.rstrip("/")
        env = {"OLD_CWD_FILE": f"{base}/{_CWD}", "PYTHONPATH": f"{base}/{TOOLS}", "PAGER": "cat"}
        try:
            result = self.box.exec(
                ["bash", "-c", _SHELL, "bash", command],
                cwd=self._cwd,
                env=env,
                timeout_s=min(self.budget.command_s, left),
                max_output=self.budget.output,
            )
        except NoSuchFile:
            self._cwd = REPO
            raise ToolError(f"the working folder is gone; it is {base}/{REPO} again") from None
        except BadCommand as error:
            raise ToolError(str(error)) from None
        except SandboxDied as error:
            return self._lost(error)
        self._spent_s += result.seconds
        said = [result.stdout.decode("utf-8", "replace").rstrip("\n")]
        if result.timed_out:
            said.append(f"(stopped after {result.seconds:.0f} s)")
        elif result.oom_killed:
            said.append("(killed: the memory was used up)")
        elif result.signal is not None:
            said.append(f"(killed by signal {result.signal})")
        elif result.exit_code:
            said.append(f"(exit status {result.exit_code})")
        said.append(self._moved(base))
        return "\n".join(filter(None, said)) or "(no output)"

    def view(self, path: str, start: int = 1, end: int = 0) -> str:
        """Show a text file with the numbers of its lines.

        Args:
            path: of the file, from the top of the repository.
            start: the first line. end: the last; 0: as many as are shown at once.
        """
        lines = self._text(path).split("\n")
        first = max(start, 1)
        last = min(end or len(lines), len(lines), first + MAX_VIEW - 1)
        shown = [f"{k:6} {lines[k - 1][:500]}" for k in range(first, last + 1)]
        if last < (end or len(lines)) and last < len(lines):
            shown.append(f"({len(lines) - last} more lines)")
        return "\n".join(shown) or f"(there is no line {first}; the file has {len(lines)})"

    def edit(self, path: str, new: str, old: str = "", line: int = -1) -> str:
        """Change a file, or make one.

        Args:
            path: of the file, from the top of the repository.
            new: what is put in.
            old: what it replaces; must be in the file exactly once.
            line: instead of `old`: the number of the line behind which it is put, 0 for the top.
                Neither of both: `new` is the whole file.
        """
        if old and line >= 0:
            raise ToolError("give old or line, not both")
        if old:
            text = replaced(self._text(path), old, new)
        elif line >= 0:
            lines = self._text(path).split("\n")
            if line > len(lines):
                raise ToolError(f"there is no line {line}; the file has {len(lines)}")
            lines[line:line] = [new.removesuffix("\n")]
            text = "\n".join(lines)
        else:
            text = new
        self._open()
        try:
            self.box.write_file(self._path(path), text.encode("utf-8", "surrogatepass"))
        except SandboxDied as error:
            return self._lost(error)
        except SandboxError as error:
            raise ToolError(str(error)) from None
        self._changes = None
        return f"{path} is written"

    def submit(self) -> str:
        """Hand in the files as they are. This ends the task."""
        self._open()
        self.submitted = True
        return "submitted"

    def modified(self) -> bool:
        """Whether anything differs from what was given out."""
        if self.gone:
            return False
        changes = self._looked()
        return changes is None or bool(changes)

    def state(self) -> str | None:
        """Return a hash of what differs and of the working folder, if that was asked for."""
        if not self.states or self.gone:
            return None
        changes = self._looked()
        if changes is None:
            return None
        known = {path: file.digest if file else "" for path, file in sorted(changes.items())}
        return hashlib.sha256(repr((known, self._cwd, self.tests_run)).encode()).hexdigest()

    def grade(self) -> Verdict:
        """Judge the files as they are. Raises EpisodeFailure where no verdict can be reached."""
        changes = self._looked()
        if changes is None:
            problem = self._problem or BadSubmission("size", "")
            return Verdict(False, str(problem), (f"patch:{problem.kind}",))
        return self.grader.grade(changes)

    def gold(self) -> list[ToolCall] | None:
        """Return calls that make the files as the right solution has them; None: not known."""
        if not self.repository.gold or self.gone:
            return None
        calls = []
        for path, file in sorted(self.repository.gold.items()):
            text = None if file is None else file.text()
            now = self._now(path)
            if file is None and now is not None:
                top = f"{self.box.workdir.rstrip('/')}/{REPO}"
                quoted = f"{top}/{path}".replace("'", "'\\''")
                calls.append(ToolCall("bash", {"command": f"rm -f -- '{quoted}'"}))
            elif file is not None and text is None:
                return None
            elif text is not None and now != text:
                calls += edits(path, now, text)
        return calls

    def saved(self) -> object:
        """Return the state of the episode, with all files.

        Raises:
            NotImplementedError: the files are too many.
        """
        files = b""
        if not self.gone:
            try:
                files = save_files(self.box)
            except SandboxDied:
                raise
            except SandboxError as error:
                raise NotImplementedError(str(error)) from None
        told = self.submitted, self.tests_run, self.gone
        return self.repository, self.grader, files, self._cwd, self._spent_s, told

    def load(self, saved: object) -> None:
        """Go back to it, in a new sandbox if the present one has ended."""
        repository, grader, files, self._cwd, self._spent_s, told = cast(
            "tuple[Repository, RepositoryGrader, bytes, str, float, tuple[bool, bool, str]]", saved
        )
        self._lay_out(repository, grader)
        self.submitted, self.tests_run, self.gone = told
        self._changes, self._problem = None, None
        if self.gone:
            return
        try:
            load_files(self.box, files)
        except SandboxDied:
            self.box.close()
            self.box = grader.open()
            load_files(self.box, files)

    def caps(self) -> Caps:
        """Return what the sandbox enforces."""
        return self.box.caps

    def commands(self) -> Iterable[ToolCall]:
        """Return nothing: there is no end of commands."""
        return ()

    def close(self) -> None:
        """End the sandbox."""
        self.box.close()

    # ----------------------------------------------------------------------------------------------

    def _lay_out(self, repository: Repository, grader: RepositoryGrader) -> None:
        self.repository, self.grader = repository, grader
        self.key = repository.task.instance_id
        self.opening = repository.task.problem_statement

    def _open(self) -> None:
        if self.gone:
            raise ToolError(self.gone)
        if self.submitted:
            raise ToolError("it was handed in")

    def _lost(self, error: SandboxDied) -> str:
        """Say that it was the agent's programs that ended its sandbox, if it was."""
        if not error.out_of_memory:
            raise error
        self.gone = "the memory was used up; everything is gone"
        return self.gone

    def _moved(self, base: str) -> str:
        """Take over the folder in which a command ended."""
        try:
            said = self.box.read_file(_CWD, max_bytes=4096).decode("utf-8", "surrogateescape")
        except SandboxDied:
            raise
        except SandboxError:
            return ""
        where = said.rstrip("\n")
        if where != base and not where.startswith(f"{base}/"):
            return f"(the next command begins in {base}/{self._cwd} again)"
        self._cwd = where[len(base) :].strip("/")
        return ""

    def _path(self, path: str) -> str:
        """Return a path as the sandbox takes it: relative ones are from the repository."""
        return path if path.startswith("/") else posixpath.join(REPO, path)

    def _text(self, path: str) -> str:
        self._open()
        try:
            data = self.box.read_file(self._path(path), max_bytes=1 << 20)
        except PathEscape as error:
            raise ToolError(str(error)) from None
        except SandboxDied:
            raise
        except SandboxError as error:
            raise ToolError(f"{path[:200]}: {error}") from None
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise ToolError(f"{path[:200]} is no text in UTF-8") from None

    def _now(self, path: str) -> str | None:
        """Return a text file as it is now; None: it is not there, or is something else."""
        try:
            return self._text(path)
        except ToolError:
            return None

    def _looked(self) -> Changes | None:
        """Return what differs; None where that cannot be said, and `_problem` says why."""
        if self._changes is None and self._problem is None:
            try:
                self._changes = changes_in(self.box, self.repository.tree)
            except BadSubmission as error:
                if self.submitted:
                    self._problem = error
                return None
        return self._changes


def edits(path: str, now: str | None, wanted: str) -> list[ToolCall]:
    """Return calls that write a file: one for each place that differs, else one for the whole."""
    if now is None:
        return [ToolCall("edit", {"path": path, "new": wanted})]
    calls, left = [], now
    lines, other = now.split("\n"), wanted.split("\n")
    blocks = difflib.SequenceMatcher(None, lines, other, autojunk=False).get_opcodes()
    for tag, a, b, c, d in blocks:
        if tag == "equal":
            continue
        before = 0  # lines around that make the place the only one of its kind
        while True:
            first, last = max(a - before, 0), min(b + before, len(lines))
            old = "\n".join(lines[first:last])
            new = "\n".join([*lines[first:a], *other[c:d], *lines[b:last]])
            if old and left.count(old) == 1:
                break
            if first == 0 and last == len(lines):
                return [ToolCall("edit", {"path": path, "new": wanted})]
            before += 1
        calls.append(ToolCall("edit", {"path": path, "old": old, "new": new}))
        left = left.replace(old, new)
    return calls if left == wanted else [ToolCall("edit", {"path": path, "new": wanted})]
