"""The credit lab: exact gradients, estimates against slow loops, and what the table must show."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agentgym
from agentgym import registry
from agentgym.errors import ConfigError, UnknownName, UserError
from agentgym.trainers.credit.base import Advantages, Floats, widen_trajectories
from agentgym.trainers.credit.combine import Combine, make_scheme
from agentgym.trainers.lab import sheet as sheets
from agentgym.trainers.lab.draws import Draws, different_groups, sample_members
from agentgym.trainers.lab.estimate import Contender, Estimates, estimate
from agentgym.trainers.lab.measure import Measures, measure
from agentgym.trainers.lab.process import SUCCESS, Move, Process
from agentgym.trainers.lab.processes import PROCESSES, make_process
from agentgym.trainers.lab.sheet import SCHEMES, Settings, make_sheet, markdown, replaced
from agentgym.trainers.normalise import Normalise
from agentgym.types import Group

ENUMERABLE = [name for name in PROCESSES if name != "rooms"]
UNBIASED = [
    "rloo",
    "reinforce_pp",
    'turn_return(gamma=1.0, baseline="none")',
    "gae",
    "gae(lam=0.0)",
    "gae @ reversed",
]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def estimates(text: str, draws: Draws) -> Estimates:
    return estimate(Contender.read(text), draws, batches=100, batch_size=8, generator=generator(1))


def measured(text: str, process: Process, group_size: int = 4) -> Measures:
    """The figures of a scheme where all groups are enumerated."""
    found = estimates(text, Draws.enumerate(process, group_size))
    return measure(found, process, batch_size=8, generator=generator(2))


def parameters(process: Process, seed: int) -> Floats:
    return generator(seed).normal(0.0, 1.0, len(process.parameters_P))


def game() -> Process:
    """Stop for 0.5, or go on (60 %) and be right (30 %) for 1."""
    return Process(
        name="game",
        summary="",
        start="first",
        moves={
            "first": {"stop": (Move(1.0, None, {SUCCESS: 0.5}),), "go": (Move(1.0, "second"),)},
            "second": {"right": (Move(1.0, None, {SUCCESS: 1.0}),), "wrong": (Move(1.0, None),)},
        },
        logits={"first": (np.log(0.4), np.log(0.6)), "second": (np.log(0.3), np.log(0.7))},
        max_turns=2,
    )


# The exact gradient --------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from([*PROCESSES]), seed=st.integers(0, 2**32))
def test_the_exact_gradient_is_that_of_finite_differences(name: str, seed: int) -> None:
    process = replace(make_process(name), max_turns=4)
    at_P = parameters(process, seed)
    step_PP = 1e-5 * np.eye(len(at_P))
    differences_P = [
        process.with_parameters(at_P + step_P).expected_worth
        - process.with_parameters(at_P - step_P).expected_worth
        for step_P in step_PP
    ]
    here = process.with_parameters(at_P)
    np.testing.assert_allclose(here.exact_gradient_P, np.array(differences_P) / 2e-5, atol=1e-9)


@pytest.mark.parametrize("name", PROCESSES)
def test_every_episode_is_there_once(name: str) -> None:
    process = make_process(name)
    assert sum(path.probability for path in process.paths_E) == pytest.approx(1.0, abs=1e-12)
    told = [
        tuple((t.state_key, t.action, t.reward) for t in path.trajectory.turns)
        for path in process.paths_E
    ]
    assert len(set(told)) == len(told)
    for path in process.paths_E:
        turns = path.trajectory.turns
        assert len(turns) <= process.max_turns
        spoken = [process.policy(str(t.state_key))[t.calls[0].sample_ids[0]] for t in turns]
        assert [np.exp(t.calls[0].logprobs[0]) for t in turns] == pytest.approx(spoken)
        assert path.probability <= np.prod(spoken) * (1 + 1e-12)  # the rest is the world's chance


@pytest.mark.parametrize("name", PROCESSES)
def test_the_exact_critic_knows_what_is_still_to_come(name: str) -> None:
    process = make_process(name)
    for state, taken in {
        (str(path.trajectory.turns[k].state_key), k)
        for path in process.paths_E
        for k in range(len(path.trajectory.turns))
    }:
        here = [
            (path.probability, sum(path.trajectory.rewards_K[taken:]))
            for path in process.paths_E
            if len(path.trajectory.turns) > taken
            and path.trajectory.turns[taken].state_key == state
        ]
        mean = sum(p * r for p, r in here) / sum(p for p, _ in here)
        assert process.values[state, taken] == pytest.approx(mean, abs=1e-12)


def test_what_is_to_be_learned_may_be_another_thing_than_the_return() -> None:
    farm = make_process("farm")
    one_P, two_P = farm.exact_gradient_P, farm.return_gradient_P
    assert one_P @ two_P < -0.5 * np.linalg.norm(one_P) * np.linalg.norm(two_P)
    bandit = make_process("bandit")
    assert bandit.return_gradient_P.tolist() == bandit.exact_gradient_P.tolist()


def test_a_process_that_is_not_one_is_refused() -> None:
    process = make_process("bandit")
    with pytest.raises(ValueError, match="needs one logit for each of"):
        replace(process, logits={"arms": (0.0,)})
    with pytest.raises(ValueError, match="chances sum to"):
        replace(process, moves={"arms": {a: (Move(0.5, None),) for a in "abc"}})
    with pytest.raises(UnknownName, match="did you mean 'chain'"):
        make_process("chian")


# Groups and estimates ------------------------------------------------------------------------


def slow_mean_P(text: str, process: Process, size: int) -> Floats:
    """The expected estimate, by loops over groups in every order."""
    contender = Contender.read(text)
    total_P = np.zeros(len(process.parameters_P))
    for members in itertools.product(range(len(process.paths_E)), repeat=size):
        draws = Draws(process, np.array([members]), np.ones(1), None)
        [group] = draws.groups_U(contender.critic)
        advantages = contender.scheme(group)
        paths = [process.paths_E[e] for e in members]
        chance = float(np.prod([path.probability for path in paths]))
        for path, values_KCT in zip(paths, advantages, strict=True):
            for score_P, turn in zip(path.score_KP, values_KCT, strict=True):
                total_P += chance / size * float(turn[0][0]) * score_P
    return total_P


@pytest.mark.parametrize("text", ["grpo", "gigpo", "igpo", "gae(lam=0.5)", "gated(then='rloo')"])
def test_enumerated_estimates_are_those_of_plain_loops(text: str) -> None:
    process = make_process("stop")
    found = estimates(text, Draws.enumerate(process, 3))
    assert found.weights_U.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(found.mean_P, slow_mean_P(text, process, 3), atol=1e-12)


def test_groups_are_made_of_real_trajectories_with_notes() -> None:
    process = make_process("chain")
    draws = Draws.enumerate(process, 2)
    assert len(draws.weights_U) == different_groups(process, 2) == 16 * 17 // 2
    for group in itertools.islice(draws.groups_U("reversed"), 20):
        assert [t.member for t in group.trajectories_G] == [0, 1]
        for trajectory in group.trajectories_G:
            assert set(trajectory.notes) == {"value", "gold_logprob"}
            assert max(trajectory.notes["value"]) < 0
            assert trajectory.success == (trajectory.episode_return == 1)


def test_drawn_groups_tell_the_same_within_their_intervals() -> None:
    process = make_process("stop")
    truth = measured("grpo", process)
    draws = Draws.sample(process, 4, 4000, generator(5))
    assert draws.drawn == 4000
    assert draws.weights_U.sum() == pytest.approx(1.0)
    found = measure(estimates("grpo", draws), process, batch_size=8, generator=generator(6))
    for name in ("bias", "scale", "noise", "cosine"):
        low, high = getattr(found, name).interval
        assert low < getattr(truth, name).value < high, name
        assert high - low < 0.2 * getattr(truth, name).value, name
    unbiased = measure(estimates("rloo", draws), process, batch_size=8, generator=generator(6))
    assert unbiased.bias.interval is not None
    assert unbiased.bias.interval[0] == 0.0


def test_chance_alone_does_not_look_like_a_bias() -> None:
    process = make_process("stop")
    found = []
    for seed in range(10):
        draws = Draws.sample(process, 2, 100, generator(seed))
        few = measure(estimates("rloo", draws), process, batch_size=8, generator=generator())
        assert few.bias.interval is not None
        found.append(few.bias.value)
        assert few.bias.interval[0] < 0.05
    assert 0.0 in found  # what chance explains is taken off, and no less is possible


def test_noise_is_that_of_one_group_however_many_are_in_a_batch() -> None:
    process = make_process("stop")
    draws = Draws.enumerate(process, 3)
    of_one = measured("gae", process, 3).noise.value
    of_batches = measure(
        estimates("gae | token", draws), process, batch_size=8, generator=generator()
    ).noise.value
    assert 0.7 < of_batches / of_one < 1.4  # whitening does not change much


def test_normalised_advantages_are_those_of_the_stage() -> None:
    process = make_process("stop")
    draws = Draws.enumerate(process, 2)
    contender = Contender.read("reinforce_pp | token")
    found = estimate(contender, draws, batches=5, batch_size=3, generator=generator(7))
    members = sample_members(process, (5, 3, 2), generator(7))
    for b in range(5):
        rows = Draws(process, members[b], np.ones(3), None)
        groups = list(rows.groups_U("exact"))
        answers = Normalise("token")(groups, [contender.scheme(group) for group in groups])
        expected_P = np.zeros(len(process.parameters_P))
        for row, answer in zip(members[b], answers, strict=True):
            for e, values_KCT in zip(row, answer, strict=True):
                for score_P, turn in zip(process.paths_E[e].score_KP, values_KCT, strict=True):
                    expected_P += float(turn[0][0]) * score_P / 6
        np.testing.assert_allclose(found.values_UP[b], expected_P, atol=1e-12)


# What the table must show --------------------------------------------------------------------


def test_a_baseline_per_turn_index_is_biased_where_the_policy_decides_when_to_stop() -> None:
    """The numbers of docs/credit.md: what is left of the exact gradient in each of two turns."""

    def shares(text: str) -> Any:
        return pytest.approx(list(measured(text, game(), 2).shares.values()))

    assert shares("rloo") == [1.0, 1.0]
    assert shares('turn_return(gamma=1.0, baseline="none")') == [1.0, 1.0]
    assert shares("grpo(std=false)") == [0.5, 0.5]
    assert shares('turn_return(gamma=1.0, baseline="turn_index", std=false)') == [0.5, 0.3]
    assert shares("turn_return(gamma=1.0, std=false)") == [8 / 15, 13 / 30]


def test_later_turns_of_the_stopping_process_are_hardly_taught_by_turn_index() -> None:
    process = make_process("stop")
    biased = measured('turn_return(gamma=1.0, baseline="turn_index", std=false)', process)
    shares = list(biased.shares.values())
    assert shares[0] == pytest.approx(0.75)
    assert all(later < 0.6 * earlier for earlier, later in itertools.pairwise(shares))
    assert biased.direction.value < 0.985
    assert list(measured("grpo(std=false)", process).shares.values()) == pytest.approx([0.75] * 4)
    # Where all episodes are equally long, there is nothing wrong with it.
    chain = make_process("chain")
    assert measured(
        'turn_return(gamma=1.0, baseline="turn_index", std=false)', chain, 3
    ).direction.value == pytest.approx(1.0)


@settings(max_examples=10, deadline=None)
@given(
    name=st.sampled_from(["bandit", "stop"]),
    text=st.sampled_from(UNBIASED),
    size=st.integers(2, 3),
    seed=st.integers(0, 2**32),
)
def test_what_is_said_to_be_unbiased_is(name: str, text: str, size: int, seed: int) -> None:
    process = make_process(name)
    process = process.with_parameters(parameters(process, seed))
    found = estimates(text, Draws.enumerate(process, size))
    np.testing.assert_allclose(found.mean_P, process.exact_gradient_P, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3])
def test_the_mean_of_a_group_takes_one_share_off(size: int) -> None:
    process = make_process("chain")
    found = measured("grpo(std=false)", process, size)
    assert found.scale.value == pytest.approx(1 - 1 / size)
    assert found.direction.value == pytest.approx(1.0)
    assert found.bias.value == pytest.approx(1 / size)
    assert found.bias.interval is None
    assert found.cosine.interval is not None


def test_misleading_step_rewards_are_followed_unless_they_are_gated() -> None:
    farm = make_process("farm")
    for text in ("grpo", "gigpo", "turn_return", "gae", 'gated(accumulation="direct")'):
        assert measured(text, farm, 3).direction.value < -0.6, text
    assert measured("gated", farm, 3).direction.value > 0.95


def test_what_a_critic_and_a_belief_are_good_for() -> None:
    chain = make_process("chain")
    grpo, gae, td = (measured(text, chain, 3) for text in ("grpo", "gae", "gae(lam=0.0)"))
    assert td.noise.value < 0.4 * gae.noise.value < 0.4 * grpo.noise.value
    wrong = measured("gae(lam=0.0) @ reversed", chain, 3)
    assert wrong.direction.value < 0  # it follows the critic
    igpo = measured("igpo", chain, 3)
    assert igpo.direction.value < 0.95  # not the gradient of the outcome
    assert igpo.cosine.value > grpo.cosine.value + 0.1  # and yet nearer to it, batch by batch
    assert igpo.silent < 0.02 < 0.2 < grpo.silent  # share of groups without signal


def test_states_that_recur_make_gigpo_less_noisy() -> None:
    rooms = make_process("rooms")
    draws = Draws.sample(rooms, 4, 1500, generator(3))
    noise = {
        text: measure(estimates(text, draws), rooms, batch_size=8, generator=generator(4)).noise
        for text in ("grpo", "gigpo")
    }
    assert noise["gigpo"].interval is not None
    assert noise["grpo"].interval is not None
    assert noise["gigpo"].interval[1] < noise["grpo"].interval[0]


def test_every_scheme_is_in_the_table() -> None:
    made = {type(make_scheme(Contender.read(text).scheme)) for text in SCHEMES}
    assert Combine in made
    for name in registry.entries("credit"):
        assert registry.load("credit", name) in made, name


def test_schemes_with_equal_estimates_share_a_line() -> None:
    contenders = [Contender.read(text) for text in ("grpo", "rloo", "flow_grpo", "igpo")]
    ticks: list[int] = []
    found = make_sheet(
        make_process("bandit"), contenders, Settings(group_size=3), lambda: ticks.append(1)
    )
    assert [line.schemes for line in found.lines] == [("grpo", "flow_grpo"), ("rloo",)]
    assert found.missing == "without gold_logprob: igpo"
    assert len(ticks) == 4


def test_equal_seeds_give_equal_tables() -> None:
    process = make_process("stop")
    contenders = [Contender.read(text) for text in ("grpo", "rloo | token")]

    def text(seed: int) -> str:
        chosen = Settings(group_size=2, groups=200, seed=seed)
        return markdown([make_sheet(process, contenders, chosen)])

    assert text(0) == text(0) != text(1)


# Bad input -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """A scheme that answers in some wrong way."""

    how: str

    needs = frozenset[str]()

    def __call__(self, group: Group) -> Any:
        """Return something wrong, only where all returns are equal."""
        right = widen_trajectories(group, [1.0] * len(group.trajectories_G))
        if len({t.episode_return for t in group.trajectories_G}) > 1:
            return right

        def each(make: Callable[[Floats], Any]) -> Advantages:
            return Advantages(
                tuple(tuple(tuple(map(make, v_CT)) for v_CT in v_KCT) for v_KCT in right)
            )

        return {
            "none": None,
            "lists": [[[v_T.tolist() for v_T in v_CT] for v_CT in v_KCT] for v_KCT in right],
            "lists inside": each(lambda v_T: v_T.tolist()),
            "numbers inside": each(lambda v_T: 1.0),
            "float32": each(lambda v_T: v_T.astype(np.float32)),
            "nan": each(lambda v_T: v_T * np.nan),
            "tokens": each(lambda v_T: np.append(v_T, 1.0)),
            "members": Advantages(right.values_GKCT[:-1]),
        }[self.how]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("none", "it must return Advantages, got NoneType"),
        ("lists", "it must return Advantages, got list"),
        ("lists inside", r"member 0: values must be float64 arrays, got \['list'\]"),
        ("numbers inside", "its advantages cannot be read"),
        ("float32", r"member 0: values must be float64 arrays, got \['float32'\]"),
        ("nan", "member 0: a value is NaN or infinite"),
        ("tokens", "member 0: sampled tokens per turn and call .*, got"),
        ("members", "3 trajectories but advantages for 2"),
    ],
)
@pytest.mark.parametrize(("text", "scope"), [("mine", "none"), ("mine | token", "token")])
def test_a_scheme_that_answers_wrongly_is_named(how: str, said: str, text: str, scope: Any) -> None:
    contender = Contender(text, Wrong(how), scope)
    draws = Draws.enumerate(make_process("stop"), 3)
    named = re.escape(f"the credit scheme {text!r} gave a wrong answer for group 'lab/stop': ")
    with pytest.raises(UserError, match=named + said):
        estimate(contender, draws, batches=20, batch_size=4, generator=generator())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grpoo", "did you mean 'grpo'"),
        ("grpo | tokens", "did you mean 'token'"),
        ("gae @ exakt", "did you mean 'exact'"),
        ("grpo(stdd=false)", "std"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Contender.read(text)


def test_a_scheme_without_what_it_needs_is_refused() -> None:
    draws = Draws.enumerate(make_process("bandit"), 2)
    with pytest.raises(ConfigError, match=r"IGPO needs gold_logprob, which .*'bandit'"):
        estimates("igpo", draws)


def test_a_scheme_without_any_signal_has_no_direction() -> None:
    silent = measured("rloo", make_process("bandit"), 1)
    assert (silent.bias.value, silent.scale.value, silent.direction.value) == (1.0, 0.0, 0.0)
    assert (silent.noise.value, silent.cosine.value, silent.silent) == (float("inf"), 0.0, 1.0)
    drawn = Draws.sample(make_process("bandit"), 1, 200, generator())
    also = measure(estimates("rloo", drawn), drawn.process, batch_size=8, generator=generator())
    assert also.noise.interval == (float("inf"), float("inf"))
    assert also.cosine.interval == (0.0, 0.0)


# The page ------------------------------------------------------------------------------------


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = f"before\n{sheets.BEGIN}\nold\n{sheets.END}\nafter\n"
    new = replaced(page, r"new \1", "page.md")
    assert new == f"before\n{sheets.BEGIN}\n\nnew \\1\n\n{sheets.END}\nafter\n"
    assert replaced(new, r"new \1", "page.md") == new
    for broken in ("", page * 2, f"{sheets.END}\n{sheets.BEGIN}\n"):
        with pytest.raises(UserError, match=r"page\.md must have the line"):
            replaced(broken, "new", "page.md")


def rows(text: str) -> dict[str, Sequence[str]]:
    """Cells by scheme of the tables in a text."""
    found: dict[str, Sequence[str]] = {}
    for line in re.findall(r"^\| (?!bias|---)(.*) \|$", text, re.M):
        *cells, names = re.split(r"(?<!\\)\|", line)
        found |= {name: [c.strip() for c in cells] for name in re.findall(r"`(.*?)`", names)}
    return found


@pytest.mark.parametrize("name", ["bandit", "stop"])
def test_the_page_has_the_tables_of_today(name: str) -> None:
    page = (Path(agentgym.__file__).parent.parent / "docs/credit.md").read_text("utf-8")
    _, _, after = page.partition(f"### {name}\n")
    written = rows(re.split(r"\n###|<!--", after)[0])
    contenders = [Contender.read(text) for text in SCHEMES if "|" not in text]
    now = rows(markdown([make_sheet(make_process(name), contenders, Settings())]))
    assert set(now) <= set(written)
    for scheme, cells in now.items():
        # What is enumerated depends on nothing but the schemes: bias, scale, direction, by state.
        for one, other in zip(cells[:4], written[scheme][:4], strict=True):
            numbers = [[float(x) for x in text.split(" to ")] for text in (one, other)]
            assert numbers[0] == pytest.approx(numbers[1], abs=0.0101), scheme
