"""Watches the figures of a run for trouble that a learning curve alone does not show.

Axis: I iterations.
"""

from collections.abc import Collection, Sequence

from agentgym.errors import nearest

WINDOW = 8
"""Iterations that are averaged on either side of a comparison."""

JUDGE_GAP = 0.1
"""The share of its answers in which a judge may differ from rules without a warning."""

LEAST_CHECKED = 50
"""Answers from which on that share says something."""

FACTS = ("tampered", "fooled")
"""Facts of last turns that a run is watched for."""

TAMPERED = 0.02
"""The share of episodes that may tamper with their judgement without a warning."""


def invalid_penalty_collapse(success_I: Sequence[float], valid_I: Sequence[float]) -> str | None:
    """Return a warning if the policy learns to act validly at the price of succeeding.

    Where every member of a group fails, a penalty for invalid actions is the only difference
    between them and becomes the whole signal: valid actions rise while success falls. Compared are
    the latest `WINDOW` iterations with the best `WINDOW` before them.

    >>> invalid_penalty_collapse([0.2] * 8 + [0.05] * 8, [0.6] * 8 + [0.9] * 8) is None
    False
    >>> invalid_penalty_collapse([0.2] * 8 + [0.3] * 8, [0.6] * 8 + [0.9] * 8) is None
    True
    """
    if len(success_I) < 2 * WINDOW:
        return None
    starts = range(len(success_I) - 2 * WINDOW + 1)
    best = max(starts, key=lambda i: _mean(success_I[i : i + WINDOW]))
    before, now = _mean(success_I[best : best + WINDOW]), _mean(success_I[-WINDOW:])
    valid_before, valid_now = _mean(valid_I[best : best + WINDOW]), _mean(valid_I[-WINDOW:])
    if now < 0.6 * before and valid_now > valid_before + 0.05:
        return (
            f"training success fell from {before:.0%} to {now:.0%} while valid actions rose from "
            f"{valid_before:.0%} to {valid_now:.0%}: the policy learns to avoid invalid actions "
            "instead of solving tasks. Lower or remove the penalty for invalid actions."
        )
    return None


def no_signal(silent_I: Sequence[float]) -> str | None:
    """Return a warning if almost no group has had any difference to learn from lately.

    >>> no_signal([1.0] * 8) is None
    False
    """
    if len(silent_I) < WINDOW or _mean(silent_I[-WINDOW:]) < 0.95:
        return None
    return (
        f"in the last {WINDOW} iterations {_mean(silent_I[-WINDOW:]):.0%} of the groups were all "
        "alike and taught nothing: tasks are too hard or too easy for this policy. A longer warm "
        "start, other tasks or larger groups may help."
    )


def judge_gap(
    checked_I: Sequence[float], kind_I: Sequence[float], strict_I: Sequence[float]
) -> str | None:
    """Return a warning if a judge is too far from the rules that know better.

    Compared is what it answered lately, `WINDOW` iterations and at least `LEAST_CHECKED` criteria.

    Args:
        checked_I: criteria that a judge was asked although a rule knows the answer.
        kind_I: of these, how many it said yes to and the rule no.
        strict_I: of these, how many it said no to and the rule yes.

    >>> judge_gap([100.0], [11.0], [1.0]) is None
    False
    >>> judge_gap([100.0], [5.0], [5.0]) is None
    True
    """
    checked = sum(checked_I[-WINDOW:])
    if checked < LEAST_CHECKED:
        return None
    kind, strict = sum(kind_I[-WINDOW:]) / checked, sum(strict_I[-WINDOW:]) / checked
    if kind + strict <= JUDGE_GAP:
        return None
    hint = (
        "the policy may be learning what pleases the judge"
        if kind > strict
        else "it withholds rewards that were earned"
    )
    return (
        f"the judge differs from the rules on {kind + strict:.0%} of the last {checked:.0f} "
        f"criteria that both answered: {kind:.0%} too kind, {strict:.0%} too strict; {hint}. Read "
        "some of its verdicts; another judge, plainer questions or more rules may help."
    )


def tampering(tampered_I: Sequence[float]) -> str | None:
    """Return a warning if what is handed in goes for its judge instead of for the task.

    Args:
        tampered_I: share of the episodes whose submission has signs of it (fact "tampered").

    >>> tampering([0.0] * 7 + [0.2]) is None, tampering([0.0] * 7 + [0.1]) is None
    (False, True)
    """
    share = _mean(tampered_I[-WINDOW:]) if tampered_I else 0.0
    if share <= TAMPERED:
        return None
    return (
        f"{share:.1%} of the last episodes handed in something that tampers with its own "
        "judgement; the fact 'tamper' in the trajectory log says how. Read some of them."
    )


def fooled(fooled_I: Sequence[float]) -> str | None:
    """Return a warning if a task was passed that nothing can pass (fact "fooled").

    >>> fooled([0.0, 0.01]) is None
    False
    """
    if not any(fooled_I):
        return None
    return (
        "a task that nothing can pass was passed: the judge is fooled, and success since then "
        "means nothing. The fact 'fooled' marks the episodes in the trajectory log."
    )


def parts_never_seen(named: Collection[str], seen: Collection[str]) -> str | None:
    """Return a warning if credit goes by parts of the reward that the environment never gave.

    >>> parts_never_seen({"tets"}, {"tests", "format"})
    "no turn had the part 'tets' of the reward, by which credit goes; did you mean 'tests'?"
    """
    missing = sorted(set(named) - set(seen))
    if not missing:
        return None
    return (
        f"no turn had the part {missing[0]!r} of the reward, by which credit goes; "
        f"{nearest(missing[0], seen)}"
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
