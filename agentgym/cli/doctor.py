"""`agentgym doctor`: what this machine can do."""

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass, fields
from pathlib import Path

CORE = ("agentgym", "gymnasium", "numpy", "pydantic", "typer", "rich")

EXTRAS = {
    "train": (("torch", "transformers", "safetensors"), "train policies, play with models"),
    "alfworld": (("alfworld", "textworld"), "the real ALFWorld engine"),
    "textworld": (("textworld",), "TextWorld games"),
    "search": (("bm25s",), "multi-hop questions"),
    "http": (("aiohttp",), "play with models behind HTTP"),
    "bfcl": (("mpmath",), "services of the benchmark BFCL"),
    "swe": (("docker",), "sandboxes in Docker"),
    "mcp": (("mcp",), "tools of MCP servers, and tools offered to others"),
}

TENSORBOARD = "tensorboard"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: a name, whether it is fine, and what was found."""

    name: str
    fine: bool
    text: str
    advice: str = ""


def command() -> None:
    """Show what this machine can do and what is missing."""
    from agentgym.cli.common import show, title, waiting

    with waiting("looking"):
        machine, packages, outside = _machine(), _packages(), _outside()
    show(title("machine"))
    _show(machine)
    show("", title("packages"))
    _show(packages)
    show("", title("outside of Python"))
    _show(outside)
    advice = [f.advice for f in (*machine, *packages, *outside) if f.advice]
    show("", title("what that means"))
    for line in _meaning(packages) + advice:
        _bullet(line)


def _machine() -> list[Finding]:
    cores, load = _cores(), os.getloadavg()[0]
    busy = load > 0.5 * cores
    threads = os.environ.get("OMP_NUM_THREADS")
    total_gb, free_gb = _memory_gb()
    found = [
        Finding("python", sys.version_info >= (3, 11), platform.python_version()),
        Finding("system", sys.platform == "linux", f"{platform.system()} {platform.machine()}"),
        Finding(
            "cores",
            not busy,
            f"{cores} to use, load {load:.1f}",
            "other programs are busy: training with more threads than idle cores is far slower; "
            "recipes use one (threads=1), and figures measured now are too low"
            if busy
            else "",
        ),
        Finding("OMP_NUM_THREADS", True, threads or "not set (recipes set their own threads)"),
    ]
    if total_gb:
        found.append(
            Finding("memory", free_gb > 2, f"{free_gb:.1f} of {total_gb:.1f} GB available")
        )
    disk_gb = shutil.disk_usage(".").free / 1e9
    found.append(Finding("disk", disk_gb > 2, f"{disk_gb:.0f} GB free in this folder"))
    return found


def _packages() -> list[Finding]:
    found = [Finding(name, bool(_version(name)), _version(name) or "missing", "") for name in CORE]
    for extra, (modules, purpose) in EXTRAS.items():
        problem = next((p for p in map(_import_problem, modules) if p), "")
        versions = ", ".join(f"{m} {_version(m)}" for m in modules if _version(m))
        advice = f"for {purpose}: pip install 'agentgym[{extra}]'" if problem else ""
        found.append(Finding(f"extra {extra}", not problem, problem or versions, advice))
    board = _version(TENSORBOARD)
    found.append(Finding(TENSORBOARD, bool(board), board or "missing: metrics as JSONL only"))
    return found


def _outside() -> list[Finding]:
    return [_gpu(), _sandbox("bwrap"), _sandbox("docker")]


def _gpu() -> Finding:
    if _import_problem("torch"):
        return Finding("gpu", False, "not looked for: torch is missing")
    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        return Finding("gpu", True, f"{len(names)}: {', '.join(dict.fromkeys(names))}")
    built = "" if torch.version.cuda else " (this torch is built for CPUs)"
    return Finding("gpu", False, f"none that torch can use{built}")


def _sandbox(kind: str) -> Finding:
    """Start a sandbox and tell what it enforces."""
    from agentgym.errors import AgentGymError
    from agentgym.tools.sandbox import open_sandbox

    name = f"sandbox {kind}"
    try:
        sandbox = open_sandbox(kind)
    except AgentGymError as error:
        return Finding(name, False, str(error))
    sandbox.close()
    flags = {f.name: getattr(sandbox.caps, f.name) for f in fields(sandbox.caps)}
    held = [flag for flag, value in flags.items() if value is True]
    not_held = [flag for flag, value in flags.items() if value is False]
    text = f"enforces {', '.join(held)} ({sandbox.caps.by}); not {', '.join(not_held)}"
    return Finding(name, True, text)


def _meaning(packages: list[Finding]) -> list[str]:
    usable = {finding.name: finding.fine for finding in packages}
    lines = []
    if all(usable[name] for name in CORE):
        lines.append("environments, rollouts with scripted agents and replay work")
    if usable["extra train"]:
        lines.append("training works: agentgym train quickstart")
    if usable["extra alfworld"]:
        lines.append("the real ALFWorld engine works: agentgym export-alfworld games")
    return lines


def _import_problem(module: str) -> str:
    """Return why a module cannot be used, or nothing."""
    if importlib.util.find_spec(module) is None:
        return f"{module} is missing"
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken installation may raise anything
        return f"{module} is broken: {type(error).__name__}: {error}"
    return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gb() -> tuple[float, float]:
    """Return all and available memory in GB, zeros where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    values = {line.split(":")[0]: int(line.split()[1]) / 1e6 for line in lines}
    return values.get("MemTotal", 0.0), values.get("MemAvailable", 0.0)


def _show(findings: list[Finding]) -> None:
    from rich.text import Text

    from agentgym.cli.common import grid, show

    show(
        grid(
            [
                (
                    Text("ok" if f.fine else "--", style="green" if f.fine else "yellow"),
                    f.name,
                    f.text,
                )
                for f in findings
            ]
        )
    )


def _bullet(line: str) -> None:
    from agentgym.cli.common import grid, show

    show(grid([("-", line)]))
