import contextlib
import dataclasses
import math
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, JsonValue, field_validator, model_validator

from agentgym import config
from agentgym.errors import ConfigError, UnknownName, UserError


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Credit(config.Section):
    shorthand: ClassVar[str] = "name"
    shorthand_clears: ClassVar[bool] = True

    name: str = "grpo"
    """The scheme."""
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Discount per turn."""
    params: Mapping[str, JsonValue] = {}

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ("grpo", "gigpo"):
            raise UnknownName("credit scheme", name, ["grpo", "gigpo"])
        return name


class Named(config.Section):
    model_config = ConfigDict(extra="allow")
    shorthand: ClassVar[str] = "name"
    shorthand_clears: ClassVar[bool] = True

    name: str = "window"


class Model(config.Section):
    shorthand: ClassVar[str] = "path"
    alternatives: ClassVar[tuple[str, ...]] = ("path", "preset")

    path: Path | None = Path("policy")
    preset: str = ""
    dtype: Literal["float32", "bfloat16"] = "float32"


class Recipe(config.Section):
    seed: int = 0
    learning_rate: float = 1e-3
    flag: bool = False
    title: str = ""
    betas: tuple[float, float] = (0.9, 0.99)
    colour: Colour = Colour.RED
    target_kl: float | None = None
    stages: tuple[Model, ...] = ()
    credit: Credit = Credit()
    model: Model = Model()
    context: Named = Named()
    low: int = 0
    high: int = 10

    @model_validator(mode="after")
    def _ordered(self) -> "Recipe":
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not exceed high ({self.high})")
        return self


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


# What a file and the command line say ---------------------------------------------------------


def test_a_file_sets_what_it_says_and_leaves_the_rest(tmp_path: Path) -> None:
    path = write(tmp_path, 'seed = 3\ncolour = "blue"\nbetas = [0.8, 1]\n[credit]\ngamma = 0.5')
    loaded = config.load(Recipe, path)
    assert loaded == Recipe(seed=3, colour=Colour.BLUE, betas=(0.8, 1.0), credit=Credit(gamma=0.5))


def test_a_mapping_works_like_a_file() -> None:
    assert config.load(Recipe, {"betas": (0.1, 0.2), "model": Model(dtype="bfloat16")}) == Recipe(
        betas=(0.1, 0.2), model=Model(dtype="bfloat16")
    )


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("seed=7", {"seed": 7}),
        ("seed = 7", {"seed": 7}),
        ("learning_rate=1e-5", {"learning_rate": 1e-5}),
        ("learning_rate=1", {"learning_rate": 1.0}),
        ("flag=true", {"flag": True}),
        ("title=word", {"title": "word"}),
        ("title=7", {"title": "7"}),
        ("title=true", {"title": "true"}),
        ("model=7", {"model": Model(path=Path("7"))}),
        ("model.path=7", {"model": Model(path=Path("7"))}),
        ("title='two words'", {"title": "two words"}),
        ('title="7"', {"title": "7"}),
        ("title=a#b", {"title": "a#b"}),
        ("title=1#b", {"title": "1#b"}),
        ("title=2026-01-02", {"title": "2026-01-02"}),
        ("title=a=b", {"title": "a=b"}),
        ("betas=[0, 0.5]", {"betas": (0.0, 0.5)}),
        ("colour=blue", {"colour": Colour.BLUE}),
        ("target_kl=0.1", {"target_kl": 0.1}),
        ("credit.gamma=0.5", {"credit": Credit(gamma=0.5)}),
        ("credit=gigpo", {"credit": Credit(name="gigpo")}),
        ("model=/a/b.c", {"model": Model(path=Path("/a/b.c"))}),
        ("model=org/name-1.5B", {"model": Model(path=Path("org/name-1.5B"))}),
        ("credit.params.a.b=[1, {c = 2}]", {"credit": Credit(params={"a": {"b": [1, {"c": 2}]}})}),
        ("context.turns=3", {"context": {"name": "window", "turns": 3}}),
        ("stages=[{path = 'x'}, 'y']", {"stages": (Model(path=Path("x")), Model(path=Path("y")))}),
    ],
)
def test_an_override_changes_one_key(override: str, changed: dict[str, Any]) -> None:
    assert config.load(Recipe, {}, [override]) == Recipe(**changed)


def test_later_overrides_win_and_nothing_means_the_default() -> None:
    assert config.load(Recipe, {"seed": 5}, ["seed=1", "seed=2"]).seed == 2
    assert config.load(Recipe, {"seed": 5, "target_kl": 0.5}, ["seed=", "target_kl="]) == Recipe()


def test_another_name_drops_the_parameters_of_the_former_one() -> None:
    file = {"credit": {"name": "gigpo", "gamma": 0.5}}
    assert config.load(Recipe, file, ["credit=grpo"]).credit == Credit(name="grpo")
    assert config.load(Recipe, file, ["credit.name=grpo"]).credit == Credit(name="grpo")
    assert config.load(Recipe, file, ["credit=gigpo"]).credit == Credit(name="gigpo", gamma=0.5)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_order_of_overrides_of_different_keys_does_not_matter(order: tuple[int, int]) -> None:
    words = ["credit=grpo", "credit.gamma=0.25"]
    file = {"credit": {"name": "gigpo", "params": {"w": 1}}}
    loaded = config.load(Recipe, file, [words[i] for i in order])
    assert loaded.credit == Credit(name="grpo", gamma=0.25)


def test_a_plain_string_keeps_the_rest_where_the_section_says_so() -> None:
    loaded = config.load(Recipe, {"model": {"dtype": "bfloat16"}}, ["model=other"])
    assert loaded.model == Model(path=Path("other"), dtype="bfloat16")


class Inner(config.Section):
    lr: float = 1.0
    steps: int = 1


class Outer(config.Section):
    inner: Inner = Inner(lr=0.5)
    maybe: Inner | None = None
    credit: Credit = Credit(name="gigpo", gamma=0.5)


class Outermost(config.Section):
    outer: Outer = Outer(inner=Inner(lr=0.25))


def test_a_section_that_is_given_in_part_keeps_the_defaults_of_its_place() -> None:
    assert config.load(Outer, {}, ["inner.steps=2"]) == Outer(inner=Inner(lr=0.5, steps=2))
    assert config.load(Outer, {"inner": {"lr": 3.0}}, ["inner.lr="]).inner.lr == 0.5
    assert config.load(Outermost, {}, ["outer.inner.steps=2"]).outer.inner.lr == 0.25
    assert config.load(Outer, {}, ["maybe.steps=2"]).maybe == Inner(steps=2)
    assert config.load(Outer, {}, ["credit.params.a=1"]).credit.gamma == 0.5
    assert config.load(Outer, {}, ["credit=grpo"]).credit == Credit(name="grpo")
    defaults = {key: default for key, _, default, _ in config.describe(Outermost)}
    assert (defaults["outer.inner.lr"], defaults["outer.credit.gamma"]) == (0.25, 0.5)


def test_extends_starts_from_another_file_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path, 'seed = 1\nlow = 1\n[credit]\nname = "gigpo"\ngamma = 0.5', "base.toml")
    write(tmp_path, 'extends = "base"\nlow = 2', "middle.toml")
    path = write(tmp_path, 'extends = "middle.toml"\nseed = 3\n[credit]\ngamma = 0.75')
    loaded = config.load(Recipe, path, ["high=30"])
    assert loaded == Recipe(seed=3, low=2, high=30, credit=Credit(name="gigpo", gamma=0.75))


def test_extends_finds_files_of_the_library_after_its_own_folder(tmp_path: Path) -> None:
    library, mine = tmp_path / "library", tmp_path / "mine"
    for folder in (library, mine):
        folder.mkdir()
    write(library, "seed = 1\nlow = 1", "base.toml")
    write(library, 'extends = "base"\nlow = 2', "other.toml")
    path = write(mine, 'extends = "base"\nhigh = 9', "base.toml")  # its own name: the library's
    assert config.load(Recipe, path, library=library) == Recipe(seed=1, low=1, high=9)
    path = write(mine, 'extends = "other"')
    assert config.load(Recipe, path, library=library) == Recipe(seed=1, low=2)
    write(mine, "seed = 3", "other.toml")
    assert config.load(Recipe, path, library=library) == Recipe(seed=3)
    with pytest.raises(UnknownName, match="did you mean 'other'"):
        config.load(Recipe, write(mine, 'extends = "othr"'), library=library)


# What is wrong, in words ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "kind", "words"),
    [
        ("sede=1", UnknownName, ["'sede'", "'seed'", "the command line"]),
        (
            "credit.gama=1",
            UnknownName,
            ["key 'credit.gama' on the command line; did you mean 'credit.gamma'?"],
        ),
        ("gamma=1", UnknownName, ["'gamma'", "credit.gamma"]),
        ("creditt.gamma=1", UnknownName, ["'creditt'", "'credit'"]),
        ("zzz=1", UnknownName, ["'zzz'", "seed", "credit"]),
        ("seed=1.5", ConfigError, ["seed = 1.5", "whole number"]),
        ("seed=word", ConfigError, ["seed = 'word'", "whole number", "a string"]),
        ("seed='7'", ConfigError, ["seed = '7'", "whole number", "a string"]),
        ("seed=true", ConfigError, ["seed = True", "whole number", "truth value"]),
        ("seed.x=1", ConfigError, ["seed = {'x': 1}", "whole number", "a table"]),
        ("flag=1", ConfigError, ["flag = 1", "true or false"]),
        ("learning_rate=fast", ConfigError, ["learning_rate = 'fast'", "a number"]),
        ("learning_rate=nan", ConfigError, ["learning_rate = nan", "finite"]),
        ("target_kl=high", ConfigError, ["target_kl = 'high'", "a number"]),
        ("title={a = 1}", ConfigError, ["title = {'a': 1}", "a string"]),
        ("betas=[1.0]", ConfigError, ["betas = [1.0]", "at least 2 items"]),
        ("betas=[1, 2, 3]", ConfigError, ["betas = [1, 2, 3]", "at most 2 items"]),
        ("betas=0.5", ConfigError, ["betas = 0.5", "a list"]),
        ("betas=[1, 'x']", ConfigError, ["betas.1 = 'x'", "a number"]),
        ("colour=rod", ConfigError, ["colour = 'rod'", "'red' or 'blue'", "did you mean 'red'"]),
        ("model.dtype=bflot16", ConfigError, ["model.dtype", "did you mean 'bfloat16'"]),
        ("model=[7]", ConfigError, ["model = [7]", "a table"]),
        ("credit=gigop", ConfigError, ["credit.name = 'gigop'", "did you mean 'gigpo'?"]),
        ("credit.gamma=2", ConfigError, ["credit.gamma = 2", "less than or equal to 1"]),
        ("stages=[{paht = 'x'}]", UnknownName, ["stages.0.paht", "path"]),
        ("low=11", ConfigError, ["low (11) must not exceed high (10)"]),
        ("seed", ConfigError, ["'seed'", "key=value"]),
        ("=1", ConfigError, ["'=1'", "key=value"]),
        ("a..b=1", ConfigError, ["'a..b=1'", "key=value"]),
        ("betas=[1,", ConfigError, ["'betas=[1,'", "not valid TOML"]),
        ("title='x", ConfigError, ["not valid TOML"]),
    ],
)
def test_a_bad_override_is_named(override: str, kind: type[UserError], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        config.load(Recipe, {}, [override])
    for word in words:
        assert word in str(caught.value)


def test_the_error_survives_a_process_boundary() -> None:
    with pytest.raises(UnknownName) as caught:
        config.load(Recipe, {}, ["sede=1"])
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.where) == (str(caught.value), "on the command line")


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(Recipe, {"seed": "x", "flag": 3}, ["credit.gama=1"])
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == [
        "seed", "flag", "there",
    ]  # fmt: skip


def test_messages_name_the_file_that_said_it(tmp_path: Path) -> None:
    write(tmp_path, "seed = 'x'", "base.toml")
    path = write(tmp_path, 'extends = "base"\nflag = 2')
    with pytest.raises(ConfigError) as caught:
        config.load(Recipe, path, ["title=[3]"])
    seed, flag, title = str(caught.value).splitlines()
    assert "base.toml" in seed
    assert "mine.toml" in flag
    assert "the command line" in title


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed = \n", ["mine.toml", "line 1"]),
        ("seed = 1\nseed = 2\nflag = 1", ["mine.toml", "line 2"]),
        ("[credit\n", ["mine.toml", "line 1"]),
        ("extends = 3", ["extends", "3"]),
        ('extends = "mien"', ["'mien'", "'mine'"]),
        ('extends = "mine"', ["circle", "mine.toml -> mine.toml"]),
    ],
)
def test_a_broken_file_is_named_with_the_line(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        config.load(Recipe, write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        config.load(Recipe, tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        config.load(Recipe, tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load(Recipe, tmp_path / "latin.toml")


def test_a_required_key_that_is_missing_is_named() -> None:
    class Needs(config.Section):
        task: str

    with pytest.raises(ConfigError, match="task is missing"):
        config.load(Needs, {})


# Dataclasses ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scheme:
    alpha: float
    steps: int = 3
    sizes: tuple[int, ...] = (1, 2)
    extra: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


def test_build_makes_a_dataclass() -> None:
    made = config.build(Scheme, {"alpha": 1, "sizes": [4]}, where="credit.params")
    assert made == Scheme(alpha=1.0, sizes=(4,))
    assert type(made.alpha) is float


@pytest.mark.parametrize(
    ("params", "kind", "words"),
    [
        ({}, ConfigError, ["credit.params.alpha is missing"]),
        ({"alpha": "x"}, ConfigError, ["credit.params.alpha = 'x'", "a number"]),
        ({"alpha": math.nan}, ConfigError, ["credit.params.alpha = nan", "finite"]),
        ({"alpha": 1, "stepz": 2}, UnknownName, ["'credit.params.stepz'", "'credit.params.steps'"]),
        ({"alpha": 1, "steps": True}, ConfigError, ["credit.params.steps = True"]),
        ({"alpha": 1, "steps": 0}, ConfigError, ["credit.params: steps must be at least 1, got 0"]),
        ({"alpha": 1, "sizes": [1, "x"]}, ConfigError, ["credit.params.sizes.1 = 'x'"]),
    ],
)
def test_build_names_what_is_wrong(
    params: dict[str, object], kind: type[UserError], words: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        config.build(Scheme, params, where="credit.params")
    for word in words:
        assert word in str(caught.value)


def test_build_names_a_dataclass_whose_fields_no_file_can_hold() -> None:
    @dataclass
    class Strange:
        inner: contextlib.ExitStack

    with pytest.raises(ConfigError, match=r"Strange cannot be read from a configuration: .*Exit"):
        config.build(Strange, {}, where="x")


def test_build_wants_a_dataclass() -> None:
    with pytest.raises(ConfigError, match="must be a dataclass"):
        config.build(int, {}, where="credit")


# Writing --------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
models = st.builds(
    Model,
    path=texts.map(Path),
    dtype=st.sampled_from(["float32", "bfloat16"]),
)
recipes = st.builds(
    Recipe,
    seed=st.integers(),
    learning_rate=finite,
    flag=st.booleans(),
    title=texts,
    betas=st.tuples(finite, finite),
    colour=st.sampled_from(Colour),
    target_kl=st.none() | finite,
    stages=st.lists(models, max_size=2).map(tuple),
    credit=st.builds(
        Credit,
        name=st.sampled_from(["grpo", "gigpo"]),
        gamma=st.floats(0, 1),
        params=st.dictionaries(texts, values, max_size=3),
    ),
    model=models,
    context=st.dictionaries(st.text("xyz", min_size=1), values, max_size=2).map(
        lambda extra: Named.model_validate(extra)
    ),
    low=st.just(-1),
    high=st.integers(0, 10),
)


@given(recipe=recipes)
def test_what_is_written_loads_to_an_equal_configuration(
    tmp_path_factory: pytest.TempPathFactory, recipe: Recipe
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_text(config.dump_toml(recipe), "utf-8")
    loaded = config.load(Recipe, path)
    assert loaded == recipe
    assert config.dump_toml(loaded) == config.dump_toml(recipe)
    assert math.copysign(1, loaded.learning_rate) == math.copysign(1, recipe.learning_rate)


@given(text=st.text(max_size=20))
def test_any_override_is_taken_or_refused_as_the_users_mistake(text: str) -> None:
    for word in (text, f"seed={text}", f"title={text}", f"credit.{text}=1", f"betas=[{text}]"):
        with contextlib.suppress(UserError):
            config.load(Recipe, {}, [word])


def test_what_toml_cannot_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"credit\.params\.a is None"):
        config.dump_toml(Recipe(credit=Credit(params={"a": None})))
    with pytest.raises(ConfigError, match="surrogate"):
        config.dump_toml(Recipe(title="\udc80"))


def test_sections_are_frozen_and_describe_themselves() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().seed = 3
    found = {key: (kind, default, text) for key, kind, default, text in config.describe(Recipe)}
    assert found["credit.gamma"] == ("float", 0.95, "Discount per turn.")
    assert found["seed"] == ("int", 0, "")


def test_the_configuration_needs_no_torch() -> None:
    code = "import sys, agentgym.config; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_alternatives_replace_each_other_from_layer_to_layer(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text('[model]\npath = "big"\ndtype = "bfloat16"\n')
    model = config.load(Recipe, file, ["model.preset=tiny"]).model
    assert (model.path, model.preset, model.dtype) == (Path("policy"), "tiny", "bfloat16")
    file.write_text('[model]\npreset = "tiny"\n')
    model = config.load(Recipe, file, ["model=big"]).model
    assert (model.path, model.preset) == (Path("big"), "")
