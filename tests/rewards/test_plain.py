"""Text as a judge is shown it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.rewards.plain import says_nothing, visible, without_markdown

ANYTHING = st.text(st.characters() | st.sampled_from("*_`#>-\x1b[]m \n\u202e\u200b\ud800"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pay \u202e001\u202c now", "pay 001 now"),
        ("\u2066a\u2069 b\u200b\u200d\ufeffc", "a bc"),
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;u\x1b\\y", "red xy"),
        ("a\x00b\x08c\x7fd\x85", "abcd"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("line\r\nline\tend", "line\nline\tend"),
        ("e\u0301", "\u00e9"),
        ("x² and ½ stay", "x² and ½ stay"),
    ],
)
def test_J09_what_cannot_be_seen_is_not_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANYTHING)
def test_J09_shown_text_can_be_encoded_and_is_final(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert visible(shown) == shown
    assert not [c for c in shown if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf")]


def test_the_middle_of_a_long_text_is_left_out() -> None:
    shown = visible("a" * 5_000_000 + "b" * 5_000_000, most=100)
    assert shown == "a" * 50 + "\n[9,999,900 characters left out]\n" + "b" * 50
    assert visible("a" * 100, most=100) == "a" * 100


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("## Result\n\nDone.", "Result\n\nDone."),
        ("**Paid** and *sent*, __all__ of it", "Paid and sent, all of it"),
        ("***very*** sure", "very sure"),
        ("- one\n* two\n+ three", "one\ntwo\nthree"),
        ("> quoted\n---\nend", "quoted\n\nend"),
        ("```json\n{}\n```", "{}\n"),
        ("call `f(x)` now", "call f(x) now"),
        ("2 * 3 * 4 = 24, 2**3 is 8", "2 * 3 * 4 = 24, 2**3 is 8"),
        ("my_file_name.txt and -5 and #7", "my_file_name.txt and -5 and #7"),
    ],
)
def test_J07_decoration_goes_and_words_stay(text: str, words: str) -> None:
    assert without_markdown(text) == words


@given(ANYTHING)
def test_J07_letters_and_digits_are_never_lost(text: str) -> None:
    """Except for the word that may stand behind a fence."""
    if "```" not in text and "~~~" not in text:
        before, after = ([c for c in t if c.isalnum()] for t in (text, without_markdown(text)))
        assert before == after


KEYS = [
    "", " ", ".", ",", ":", "…", "。", "\u200b", "**", "Solution", "Solution:", "**Solution**",
    "# Solution", "Thought process:", "Let's solve this problem step by step.",
    "Let\u2019s solve this problem step by step.", "Let's think step by step:", "解", "かいせつ",
    "Respuesta", "SOLUTION", "\U0001d412\U0001d428\U0001d425\U0001d42e\U0001d42d\U0001d422"
    "\U0001d428\U0001d427", "Sol\u200bution",
]  # fmt: skip


@pytest.mark.parametrize("text", KEYS)
def test_J04_master_keys_say_nothing(text: str) -> None:
    assert says_nothing(text)


@pytest.mark.parametrize("text", ["4", "No.", "Solution: 4", "解 4", "Let's solve it: x = 4"])
def test_J04_short_answers_say_something(text: str) -> None:
    assert not says_nothing(text)
