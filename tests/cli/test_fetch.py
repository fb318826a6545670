"""`agentgym fetch`, where what it gets is there already."""

import os
from pathlib import Path

import pytest
from cli_run import Run
from sandboxes import needs_docker
from swe_cases import shelf_rows

from agentgym.envs.bfcl.fetch import fetch


def test_fetching_what_is_there_says_where(agentgym: Run, workplace: Path) -> None:
    place = fetch()
    assert str(place) in agentgym("fetch", "bfcl").out.replace("\n", "")
    (workplace / "here").symlink_to(place)
    assert "bfcl is in here" in agentgym("fetch", "bfcl", "--to", "here").words
    said = agentgym("rollout", "bfcl", "--agent", "gold", "-n", 3, "--option", "path=here").words
    assert "100.0%" in said


def test_mistakes_get_nothing(agentgym: Run, workplace: Path) -> None:
    assert "did you mean 'bfcl'" in agentgym("fetch", "bfc", code=2).words
    (workplace / "mine").mkdir()
    (workplace / "mine/thesis.txt").write_text("all of it")
    assert (
        "mine is there, and is no copy" in agentgym("fetch", "bfcl", "--to", "mine", code=2).words
    )
    assert (workplace / "mine/thesis.txt").read_text() == "all of it"
    said = agentgym("rollout", "bfcl", "--option", "path=mine", code=2).words
    assert "agentgym fetch bfcl --to mine" in said


@pytest.mark.docker
@needs_docker
def test_R07_images_are_there_or_it_says_why_they_cannot_be_had(
    agentgym: Run, workplace: Path
) -> None:
    here = shelf_rows(workplace, source="", source_sha256="", image=os.environ["AGENTGYM_IMAGE"])
    assert (
        "1 images are on this machine, 0 of them new"
        in agentgym("fetch", "images", "--tasks", here).words
    )
    image = "registry.invalid/agentgym/none:1"
    rows = shelf_rows(workplace, source="", source_sha256="", image=image)
    said = agentgym("fetch", "images", "--tasks", rows, code=2).words
    assert f"the image {image} cannot be had" in said
    assert "docker load" in said
    assert "fetch images --tasks FILE" in agentgym("fetch", "images", code=2).words
    said = agentgym("bench", "swe-mini", "--tasks", rows, "--only", "repositories", code=2).words
    assert "agentgym fetch images" in said
