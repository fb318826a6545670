"""`train`: recipes, overrides, resuming, and mistakes that are found before anything is written."""

import re
from pathlib import Path

import pytest
from cli_run import Run

pytest.importorskip("torch", reason="needs the extra 'train'")

QUICK = (
    "train.iterations=2",
    "warmstart.demonstrations=8",
    "warmstart.epochs=1",
    "rollout.tasks=2",
    "rollout.group_size=2",
    "eval.episodes=4",
    "train.checkpoint_every=1",
)


def test_a_run_and_what_can_be_done_with_it(agentgym: Run, workplace: Path) -> None:
    said = agentgym("train", "guess", *QUICK, "--out", "r").words
    assert "all iterations are done" in said
    assert "agentgym eval r" in said
    assert (workplace / "r" / "policy" / "model.safetensors").is_file()

    said = agentgym("info", "r").words
    assert "environment guess (version 0)" in said
    assert "checkpoints 1, 2" in said
    assert "demonstration 8 " in said
    assert "eval 8 " in said  # before and after
    assert "success on held-out worlds, at the end" in said
    assert "learner/lr" not in said
    assert re.search(r"learner/lr [\d.e-]+ step 2", agentgym("info", "r", "--all").words)

    said = agentgym("eval", "r", "-n", 3).words
    assert "policy r (step 2)" in said
    assert "measured on 3 held-out worlds of guess, sampled at temperature 1" in said
    assert "policy r (step 1)" in agentgym("eval", "r", "-n", 2, "--step", 1).words
    assert (
        "no checkpoint of r for step 7; known: 1, 2"
        in agentgym("eval", "r", "--step", 7, code=2).words
    )
    assert "household" in agentgym("eval", "r", "--env", "household", "-n", 1).words
    assert "played by r (step 2)" in agentgym("play", "guess", "--agent", "r").words
    assert "agent r (step 2)" in agentgym("rollout", "guess", "--agent", "r", "-n", 2).words
    assert "confirmed" in agentgym("replay", "r", "--verify").words
    assert "whole checkpoints 1, 2" in agentgym("fsck", "r").words

    assert "leave RECIPE out" in agentgym("train", "guess", "--resume", "r", code=2).err
    assert "optim.lr" not in agentgym("train", "--resume", "r", code=0).err
    changed = agentgym("train", "--resume", "r", "optim.lr=0.5", code=2).err
    assert "--force" in changed
    assert "+lr = 0.5" in changed
    longer = agentgym("train", "--resume", "r", "train.iterations=3").words
    assert "iteration 3/3" in longer
    assert "whole checkpoints 2, 3" in agentgym("fsck", "r").words
    assert "exists and is not empty" in agentgym("train", "guess", "--out", "r", code=2).words

    weights = workplace / "r" / "checkpoints" / "step_3" / "policy" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "model.safetensors has changed" in agentgym("fsck", "r", code=1).words
    assert "policy r (step 2)" in agentgym("eval", "r", "-n", 1).words


def test_models_that_cannot_be_loaded_are_found_before_anything_is_written(
    agentgym: Run, workplace: Path
) -> None:
    huge = agentgym("train", "guess", "model.preset=huge", "--dry-run", code=2).err
    assert "no policy preset 'huge'" in huge
    agentgym("new", "policy", "p", "--env", "guess", "--episodes", 5)
    weights = workplace / "p" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    cut = agentgym("train", "guess", "model=p", "--out", "r", code=2).err
    assert "the model 'p' cannot be loaded" in cut
    assert not (workplace / "r").exists()
    (workplace / "g").mkdir()
    (workplace / "g" / "run.json").write_text("{}")
    run = agentgym("train", "guess", "model=g", "--dry-run", code=2).err
    assert "g is a run, not a model; its policy is g/policy" in run


def test_the_default_folder_is_named_after_the_recipe(agentgym: Run, workplace: Path) -> None:
    (workplace / "runs" / "guess").mkdir(parents=True)
    said = agentgym("train", "guess", *QUICK, "train.iterations=0", "eval.episodes=0").words
    assert "run folder: runs/guess-2" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gues"], "there is no recipe 'gues'; did you mean 'guess'"),
        (["missing.toml"], "there is no recipe 'missing.toml'"),
        (["guess", "train.iteratons=3"], "did you mean 'train.iterations'"),
        (["guess", "sede=3"], "did you mean 'seed'"),
        (["guess", "seed=x"], "seed"),
        (["guess", "train.iterations=many"], "train.iterations"),
        (["guess", "iterations"], "is not of the form key=value"),
        (["guess", "credit=gigppo"], "did you mean 'gigpo'"),
        (["guess", "credit.omga=1"], "did you mean 'credit.omega'"),
        (["guess", "credit.gamma=2"], "gamma"),
        (["guess", "loss=ppo"], "there is no loss 'ppo'"),
        (["guess", "env=guest"], "did you mean 'guess'"),
        (["guess", "env.options.max_turn=3"], "did you mean 'max_turns'"),
        (["guess", "model=nowhere/at/all"], "there is no model folder 'nowhere/at/all'"),
        (["guess", "backend=scripted"], "use backend=hf"),
        (["guess", "rollout.context=windw"], "did you mean 'window'"),
        ([], "say what to train"),
        (["--resume", "nothing"], "nothing is not a run"),
        (["--resume", "nothing", "--out", "x"], "leave --out out"),
    ],
)
def test_mistakes_write_nothing(
    agentgym: Run, workplace: Path, words: list[str], message: str
) -> None:
    done = agentgym("train", *words, code=2)
    assert message in done.words
    assert done.err.startswith("error: ")
    assert list(workplace.iterdir()) == []


def test_a_model_without_chat_template(agentgym: Run, workplace: Path) -> None:
    agentgym("new", "policy", "p", "--env", "guess", "--episodes", 20)
    (workplace / "p" / "chat_template.jinja").unlink()
    done = agentgym("train", "guess", "model=p", "--out", "r", code=2)
    assert "chat template" in done.err
    assert not (workplace / "r").exists()


def test_dry_run_shows_a_configuration_that_can_be_trained_with(
    agentgym: Run, workplace: Path
) -> None:
    long = f"rollout.opening={'Think of a number. ' * 10}"
    toml = agentgym("train", "guess", "seed=7", "credit.omega=0.5", long, "--dry-run").out
    (workplace / "mine.toml").write_text(toml)
    again = agentgym("train", "mine.toml", "--dry-run").out
    assert again == toml
    assert "seed = 7" in toml
    assert "omega = 0.5" in toml
    assert [p.name for p in workplace.iterdir()] == ["mine.toml"]


def test_a_recipe_of_ones_own(agentgym: Run, workplace: Path) -> None:
    (workplace / "mine.toml").write_text('seed = 1\n[env]\nname = "guess"\n[mdel]\npath = "x"\n')
    done = agentgym("train", "mine.toml", code=2)
    assert "mdel" in done.err
    assert "mine.toml" in done.err
    assert "did you mean 'model'" in done.err


def test_parts_can_be_given_as_files(agentgym: Run, workplace: Path) -> None:
    agentgym("new", "env", "my_game")
    agentgym("new", "credit", "my_credit")
    words = ["env=my_game.py", "credit=my_credit.py", "credit.weight=0.5"]
    toml = agentgym("train", "guess", *words, "--dry-run").out
    assert 'name = "my_game:MyGame"' in toml
    assert 'name = "my_credit:MyCredit"' in toml
    assert "weight = 0.5" in toml
    assert "there is no file 'x.py'" in agentgym("train", "guess", "env=x.py", code=2).err
    said = agentgym("train", "guess", *QUICK, *words, "--out", "r").words
    assert "all iterations are done" in said
