"""Being in the folder is being tested: the kits run over everything that the registry finds."""

from pathlib import Path
from typing import Any

import pytest
from sandboxes import NO_BWRAP

from agentgym import registry
from agentgym.backends.base import SampleRequest
from agentgym.env import env_class
from agentgym.testing import check_backend, check_credit, check_env, check_loss, check_tool
from agentgym.types import JSON


def names(kind: str) -> list[str]:
    """Return what agentgym itself ships; other installed packages test their own."""
    return [e.name for e in registry.entries(kind).values() if e.origin == "agentgym"]


def alfworld_games(folder: Path) -> dict[str, JSON]:
    pytest.importorskip("alfworld", reason="needs the extra 'alfworld'")
    from agentgym.envs.household.export import export_games

    export_games(folder, size="tiny", seeds=range(3))
    return {"games": str(folder)}


def textworld_games(folder: Path) -> dict[str, JSON]:
    pytest.importorskip("textworld", reason="needs the extra 'textworld'")
    return {"games": str(folder), "generate": "coin_collector --level 2", "count": 2}


def bfcl_copy(_folder: Path) -> dict[str, JSON]:
    pytest.importorskip("mpmath", reason="needs the extra 'bfcl'")
    from agentgym.envs.bfcl.fetch import fetch

    return {"path": str(fetch())}


def swe_sandbox(folder: Path) -> dict[str, JSON]:
    if NO_BWRAP:
        pytest.skip(NO_BWRAP)
    return {}


DATA = {
    "alfworld": alfworld_games,
    "bfcl": bfcl_copy,
    "swe": swe_sandbox,
    "textworld": textworld_games,
}
"""What environments over data of others are given to play with."""


@pytest.mark.parametrize("name", names("envs"))
def test_environments(name: str, tmp_path: Path) -> None:
    options = DATA[name](tmp_path) if name in DATA else {}
    how: dict[str, Any] = {"seeds": (0, 1), "steps": 15} if options else {}
    report = check_env(name, options=options, **how).raise_on_failure()
    assert not report.warnings, report


@pytest.mark.parametrize("preset", env_class("household").presets)
def test_presets_of_household(preset: str) -> None:
    report = check_env("household", preset=preset, seeds=(0, 1)).raise_on_failure()
    assert not report.warnings, report


@pytest.mark.parametrize("name", names("credit"))
def test_credit_schemes(name: str) -> None:
    check_credit(name).raise_on_failure()


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_centred_schemes_ignore_a_bonus_for_everybody(name: str) -> None:
    check_credit(name, shift_invariant=True).raise_on_failure()


@pytest.mark.parametrize("name", names("losses"))
def test_losses(name: str) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train'")
    check_loss(name).raise_on_failure()


CALLS: dict[str, list[dict[str, JSON]]] = {
    "calculator": [{"expression": "2 * (3 + 4) ** 2"}],
    "calendar": [
        {"action": "add", "title": "a", "start": "2026-01-02T09:00", "end": "2026-01-02T10:00"},
        {"action": "list"},
    ],
    "files": [{"action": "write", "path": "a/b.txt", "content": "c"}, {"action": "list"}],
    "kv": [{"action": "put", "key": "a", "value": "b"}, {"action": "list"}],
    "sql": [{"query": "CREATE TABLE t (a)"}, {"query": "SELECT * FROM t"}],
}
"""Calls of tools that must succeed."""


@pytest.mark.parametrize("name", names("tools"))
def test_tools(name: str) -> None:
    check_tool(name, calls=CALLS.get(name, [])).raise_on_failure()


def scripted_backend(_folder: Path) -> None:
    from agentgym.backends.scripted import Scripted

    def reply(request: SampleRequest) -> str:
        return f"say {request.seed % 7}" if request.temperature else "say 1"

    check_backend(lambda: Scripted(reply), stop_ids=(256,)).raise_on_failure()


def hf_backend(folder: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train'")
    from agentgym.backends.hf import HFBackend
    from agentgym.trainers.policies import new_policy

    new_policy(folder, texts=["say 1", "say 2"], seed=0)
    check_backend(lambda: HFBackend(folder)).raise_on_failure()


def routed_backend(_folder: Path) -> None:
    from agentgym.backends.routed import Routed
    from agentgym.backends.scripted import Scripted

    def reply(request: SampleRequest) -> str:
        return f"say {request.seed % 7}" if request.temperature else "say 1"

    def made() -> Routed:
        return Routed({"policy": Scripted(reply)}, trained="policy")

    check_backend(made, stop_ids=(256,)).raise_on_failure()


def openai_http_backend(folder: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train'")
    pytest.importorskip("aiohttp", reason="needs the extra 'http'")
    from openai_servers import model, serve

    from agentgym.backends.hf import HFBackend
    from agentgym.backends.openai_http import OpenAIHTTP
    from agentgym.render import Renderer
    from agentgym.trainers.policies import new_policy

    new_policy(folder, texts=["say 1", "say 2"], seed=0)
    embedded = HFBackend(folder)
    stop_ids = Renderer(embedded.tokenizer).stop_ids
    with serve(model(embedded)) as server:
        check_backend(
            lambda: OpenAIHTTP(server.url, "tiny", embedded.tokenizer), stop_ids=stop_ids
        ).raise_on_failure()


BACKENDS = {
    "scripted": scripted_backend,
    "hf": hf_backend,
    "routed": routed_backend,
    "openai_http": openai_http_backend,
}
"""How each backend is made for its kit; a new one belongs in here."""


@pytest.mark.parametrize("name", names("backends"))
def test_backends(name: str, tmp_path: Path) -> None:
    BACKENDS[name](tmp_path / "policy")
