"""The files of a sandbox as bytes, to go back to them, or to go on from them in another sandbox.

Nothing runs between two commands, so files are all that there is: those of the work folder and of
`/tmp`, the only folders that can be written. An engine's own snapshot of a container would miss
both, since they are in memory.
"""

from typing import Final

from agentgym.errors import SandboxError
from agentgym.tools.sandbox.base import MAX_STDIN, Sandbox

__all__ = ["load_files", "save_files"]

_SAVE: Final = """
import gzip, os, sys, tarfile
closed = []
def opened(member):
    if not member.issym() and member.mode & 0o700 != 0o700:
        closed.append(("/" + member.name, member.mode))
        os.chmod("/" + member.name, member.mode | 0o700)
    return member
try:
    with gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", compresslevel=1) as packed:
        with tarfile.open(fileobj=packed, mode="w|") as tar:
            for folder in sys.argv[1:]:
                tar.add(folder, filter=opened)
finally:
    for path, mode in reversed(closed):
        os.chmod(path, mode)
"""
_LOAD: Final = """
import os, shutil, sys, tarfile
for folder in sys.argv[1:]:
    for at, folders, _ in os.walk(folder):
        for each in folders:
            if not os.path.islink(os.path.join(at, each)):
                os.chmod(os.path.join(at, each), 0o700)
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as tar:
    tar.extraction_filter = lambda member, path: member  # it is all inside of a sandbox
    tar.extractall("/", (each for each in tar if "/" + each.name not in sys.argv[1:]))
"""


def save_files(sandbox: Sandbox) -> bytes:
    """Return all files of a sandbox, for `load_files`.

    Raises:
        SandboxError: they cannot be read, or are too many.
    """
    result = sandbox.exec(_argv(_SAVE, sandbox), timeout_s=120, max_output=2 * MAX_STDIN)
    if not result.ok or len(result.stdout) > MAX_STDIN or result.stdout_left_out:
        lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
        why = (lines or [f"they have more than {MAX_STDIN} bytes"])[-1]
        raise SandboxError(f"the files of the sandbox cannot be saved: {why:.200}")
    return result.stdout


def load_files(sandbox: Sandbox, saved: bytes) -> None:
    """Give a sandbox the files of `save_files`, and no others.

    Raises:
        SandboxError: there is no room for them.
    """
    result = sandbox.exec(_argv(_LOAD, sandbox), stdin=saved, timeout_s=120)
    if not result.ok:
        lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SandboxError(f"files cannot be put into the sandbox: {(lines or ['?'])[-1]:.200}")


def _argv(script: str, sandbox: Sandbox) -> list[str]:
    return ["python3", "-I", "-S", "-c", script, sandbox.workdir, "/tmp"]
