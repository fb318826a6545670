"""Text as a judge or a simulator is shown it: without what cannot be seen and without decoration.

What is recorded stays as it was said; only the copy that a language model reads is changed.
"""

import re
import unicodedata

__all__ = ["says_nothing", "visible", "without_markdown"]

MOST_CHARACTERS = 20_000
"""Of one message; the middle of a longer one is left out."""

# Escape sequences of terminals: colours and cursor (CSI), titles and links (OSC), single ones.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
_LONE = re.compile("[\ud800-\udfff]")

_RULE = re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$\n?", re.MULTILINE)
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[*+-][ \t]+)+", re.MULTILINE)
_STRONG = re.compile(r"(?<![\w*_])(\*\*\*|\*\*|\*|___|__|_)(?=\S)([^\n]+?)(?<=\S)\1(?![\w*_])")
_CODE = re.compile(r"(`+)([^`\n]+)\1")

# Openings that promise an answer and give none (arXiv 2507.08794), without punctuation.
_KEYS = frozenset(
    {
        "solution",
        "thought process",
        "lets solve this problem step by step",
        "lets solve this step by step",
        "lets think step by step",
        "lets think about this step by step",
        "lets begin",
        "answer",
        "the answer",
        "final answer",
        "the final answer is",
        "解",
        "解答",
        "かいせつ",
        "解説",
        "respuesta",
        "lösung",
        "réponse",
    }
)


def visible(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text without what cannot be seen, in Unicode's composed form (NFC).

    Left out: escape sequences of terminals, control characters but tab and line feed, marks of
    writing direction and zero-width characters. Halves of surrogate pairs become U+FFFD. Of a text
    of more than `most` characters the middle is left out, and it says so.

    >>> visible("a\\u202eb\\u200bc \\x1b[31mred\\x1b[0m\\x00")
    'abc red'
    """
    if len(text) > 8 * most:  # of what is far from both ends, nothing will be seen
        head, tail = _cleaned(text[: 4 * most]), _cleaned(text[-4 * most :])
    else:
        text = head = tail = _cleaned(text)
    if len(text) <= most:
        return text
    half = most // 2
    left_out = len(text) - 2 * half
    return f"{head[:half]}\n[{left_out:,} characters left out]\n{tail[-half:]}"


def _cleaned(text: str) -> str:
    text = _LONE.sub("\ufffd", _ESCAPES.sub("", text.replace("\r\n", "\n")))
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf"))
    return unicodedata.normalize("NFC", text)


def without_markdown(text: str) -> str:
    """Return a text without headings, emphasis, lists' marks, fences and rules.

    The words stay, and so do stars and underscores inside of words or between spaces.

    >>> without_markdown("# Result\\n**Paid**: `2 * 3` of my_file")
    'Result\\nPaid: 2 * 3 of my_file'
    """
    text = _LINE_MARK.sub("", _RULE.sub("", _FENCE.sub("", text)))
    for _ in range(3):  # emphasis in emphasis
        text = _STRONG.sub(r"\2", text)
    return _CODE.sub(r"\2", text)


def says_nothing(text: str) -> bool:
    """Whether a text is empty, mere punctuation, or an opening that is followed by nothing.

    Such texts are known to make judges say yes.

    >>> says_nothing("**Solution:**"), says_nothing("The answer is 4.")
    (True, False)
    """
    plain = unicodedata.normalize("NFKC", without_markdown(visible(text))).casefold()
    plain = plain.replace("'", "").replace("\u2019", "")
    words = "".join(c if c.isalnum() else " " for c in plain).split()
    return not words or " ".join(words) in _KEYS
