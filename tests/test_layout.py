"""The layout: what may be imported, from where, and what importing brings along."""

import subprocess
import sys
from pathlib import Path

import pytest

import agentgym

ROOT = Path(agentgym.__file__).parent.parent
HEAVY = ["torch", "transformers", "vllm", "docker", "alfworld", "textworld", "tensorboard"]


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize(
    "use",
    [
        "import agentgym",
        "import agentgym; [agentgym.registry.entries(k) for k in agentgym.registry.FOLDERS]",
        "import agentgym; e = agentgym.make('household'); e.reset(seed=0); e.step('look')",
        "import agentgym.rollout, agentgym.records, agentgym.config",
        "from agentgym.trainers.credit import grpo, gigpo",
    ],
)
def test_no_heavy_import(use: str, tmp_path: Path) -> None:
    done = python(f"{use}; import sys; print([m for m in {HEAVY} if m in sys.modules])", tmp_path)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_importing_agentgym_imports_no_environment(tmp_path: Path) -> None:
    code = "import agentgym, sys; print([m for m in sys.modules if m.startswith('agentgym.envs.')])"
    assert python(code, tmp_path).stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["envs", "tools", "trainers"])
def test_folders_refuse_their_bare_names(name: str) -> None:
    assert (ROOT / name / "__init__.py").exists()
    done = python(f"import {name}", ROOT)
    assert f"this package is agentgym.{name}" in done.stderr


@pytest.mark.parametrize("name", ["envs", "tools", "trainers"])
def test_links_are_relative(name: str) -> None:
    link = ROOT / "agentgym" / name
    assert link.is_symlink()
    assert str(link.readlink()) == f"../{name}"


def test_public_names_are_sorted_and_real() -> None:
    assert agentgym.__all__ == sorted(agentgym.__all__)
    for name in agentgym.__all__:
        assert hasattr(agentgym, name)


def test_version_is_the_changelog_s() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    newest = next(line for line in lines if line.startswith("## "))
    assert agentgym.__version__ in newest
    assert f'version = "{agentgym.__version__}"' in (ROOT / "pyproject.toml").read_text()
