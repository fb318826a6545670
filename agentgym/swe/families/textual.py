"""Functions of strings, and of what is written in them."""

from typing import Final

from agentgym.swe.families.base import Family, letters, number, text, word

TEXTUAL: Final = (
    Family(
        "count letters",
        "Return how many characters of $t are among $set.",
        """
def $f($t):
    count = 0
    for c in $t:
        if c in $set:
            count += 1
    return count
""",
        {"f": ("count_letters", "how_many", "tally"), "t": ("text", "line", "word"),
         "set": ("'aeiou'", "'xyz'", "'rst'", "'nmlk'")},
        lambda rng: (text(rng),),
    ),
    Family(
        "shift letters",
        "Move each small letter of $t by $k places in the alphabet, from the end back to the "
        "beginning; leave everything else.",
        """
def $f($t):
    out = ""
    for c in $t:
        if "a" <= c <= "z":
            place = ord(c) - ord("a")
            out += chr((place + $k) % 26 + ord("a"))
        else:
            out += c
    return out
""",
        {"f": ("shift", "caesar", "rotate_letters"), "t": ("text", "message"),
         "k": ("1", "3", "13", "5")},
        lambda rng: (text(rng),),
        [("zebra",), ("A z",)],
    ),
    Family(
        "palindrome",
        "Return whether $t reads the same from both ends; $rule.",
        """
def $f($t):
    kept = [$low for c in $t if $keep]
    left, right = 0, len(kept) - 1
    while left < right:
        if kept[left] != kept[right]:
            return False
        left += 1
        right -= 1
    return True
""",
        {"f": ("is_palindrome", "mirrors", "both_ways"), "t": ("text", "phrase"),
         "r": ({"rule": "only letters count, and not their case", "low": "c.lower()",
                "keep": "c.isalpha()"},
               {"rule": "spaces do not count", "low": "c", "keep": "c != ' '"})},
        lambda rng: (word(rng) if rng.random() < 0.5 else letters(rng, "ab A"),),
        [("",), ("Level, level",), ("ab",), ("noon",)],
    ),
    Family(
        "run lengths",
        "Return the runs of equal characters in $t, as a list of [character, length].",
        """
def $f($t):
    $out = []
    for c in $t:
        if $out and $out[-1][0] == c:
            $out[-1][1] += 1
        else:
            $out.append([c, 1])
    return $out
""",
        {"f": ("runs", "run_lengths", "encode"), "t": ("text", "line"), "out": ("out", "found")},
        lambda rng: (letters(rng, "aab"),),
        [("",), ("aab",)],
    ),
    Family(
        "initials",
        "Return the first letters of the words of $t as capitals, without words of fewer than $k "
        "letters.",
        """
def $f($t):
    out = ""
    for word in $t.split():
        if len(word) >= $k:
            out += word[0].upper()
    return out
""",
        {"f": ("initials", "acronym", "short_name"), "t": ("text", "title"), "k": ("3", "4", "5")},
        lambda rng: (text(rng),),
    ),
    Family(
        "longest word",
        "Return the longest word of $t; of equally long ones the $which. Without words, ''.",
        """
def $f($t):
    best = ""
    for word in $t.split():
        if len(word) $op len(best):
            best = word
    return best
""",
        {"f": ("longest", "longest_word", "widest"), "t": ("text", "line"),
         "w": ({"which": "first", "op": ">"}, {"which": "last", "op": ">="})},
        lambda rng: (text(rng),),
        [("",), ("ab cd",)],
    ),
    Family(
        "camel case",
        "Turn the name $n, written with '$sep' between its words, into one with capitals instead: "
        "the first word stays as it is.",
        """
def $f($n):
    parts = $n.split("$sep")
    out = parts[0]
    for part in parts[1:]:
        out += part[:1].upper() + part[1:]
    return out
""",
        {"f": ("camel", "to_camel", "joined_name"), "n": ("name", "key"), "sep": ("_", "-", ".")},
        lambda rng: ("_-."[number(rng, 0, 2)].join(word(rng) for _ in range(number(rng, 1, 4))),),
        [("one_two_three",), ("one-two-three",), ("one.two.three",), ("",)],
    ),
    Family(
        "snake case",
        "Turn the name $n, with capitals where words begin, into small letters with '$sep' between "
        "the words.",
        """
def $f($n):
    out = ""
    for i, c in enumerate($n):
        if c.isupper():
            if i > 0:
                out += "$sep"
            out += c.lower()
        else:
            out += c
    return out
""",
        {"f": ("snake", "to_snake", "split_name"), "n": ("name", "key"), "sep": ("_", "-")},
        lambda rng: ("".join(word(rng).capitalize() for _ in range(number(rng, 0, 3))),),
        [("oneTwo",), ("A",)],
    ),
    Family(
        "brackets",
        "Return whether every '$a' in $t is closed by a '$b' behind it, and nothing else is.",
        """
def $f($t):
    depth = 0
    for c in $t:
        if c == "$a":
            depth += 1
        elif c == "$b":
            depth -= 1
            if depth < 0:
                return False
    return depth == 0
""",
        {"f": ("balanced", "is_closed", "nested_well"), "t": ("text", "code"),
         "ab": ({"a": "(", "b": ")"}, {"a": "[", "b": "]"}, {"a": "<", "b": ">"})},
        lambda rng: (letters(rng, ("(x)", "[x]", "<x>")[number(rng, 0, 2)], 6),),
        [("",), ("()",), (")(",), ("[[]",), ("][",), ("<>",), ("><",), ("([<>])",), ("((",)],
    ),
    Family(
        "wrap",
        "Cut $t into lines of at most $k characters between words; a longer word has its own line. "
        "Return the lines.",
        """
def $f($t):
    lines = []
    line = ""
    for word in $t.split():
        if line and len(line) + 1 + len(word) > $k:
            lines.append(line)
            line = word
        elif line:
            line = line + " " + word
        else:
            line = word
    if line:
        lines.append(line)
    return lines
""",
        {"f": ("wrap", "fold", "break_lines"), "t": ("text", "line_of_words"),
         "k": ("9", "10", "12", "14")},
        lambda rng: (text(rng),),
        [("",), ("oak elm fig ivy",)],
    ),
    Family(
        "pairs",
        "Read $t, entries of the form name${eq}number with '$sep' between them, and return a "
        "dictionary. Entries without '$eq' are left out; of equal names the last counts.",
        """
def $f($t):
    found = {}
    for entry in $t.split("$sep"):
        if "$eq" not in entry:
            continue
        name, value = entry.split("$eq", 1)
        found[name.strip()] = int(value)
    return found
""",
        {"f": ("read_pairs", "settings", "parse_pairs"), "t": ("text", "line"),
         "s": ({"sep": ";", "eq": "="}, {"sep": ",", "eq": ":"})},
        lambda rng: (
            (sep := ";,"[number(rng, 0, 1)]).join(
                f" {word(rng)}{'=' if sep == ';' else ':'}{number(rng, -5, 50)}"
                for _ in range(number(rng, 0, 4))
            ),
        ),
        [("a=1;b;a=2",), ("a:1,b,a:2",)],
    ),
    Family(
        "number ranges",
        "Read numbers and ranges such as '1-3,7' in $t and return the list of all numbers. Raise "
        "ValueError where a range ends before it starts.",
        """
def $f($t):
    out = []
    for part in $t.split(","):
        if "-" in part:
            first, last = part.split("-")
            if int(last) < int(first):
                raise ValueError(part)
            out.extend(range(int(first), int(last) + 1))
        else:
            out.append(int(part))
    return out
""",
        {"f": ("read_ranges", "pages", "expand"), "t": ("text", "spec")},
        lambda rng: (
            ",".join(
                str(a) if rng.random() < 0.5 else f"{a}-{a + number(rng, -1, 3)}"
                for a in [number(rng, 1, 20) for _ in range(number(rng, 1, 3))]
            ),
        ),
        [("3-3",), ("5-4",), ("1-3,7",)],
    ),
    Family(
        "compare versions",
        "Compare the versions $a and $b, such as '1.10.2'. Return 1 if the first is newer, -1 if "
        "the second is, else 0. Missing parts count as 0.",
        """
def $f($a, $b):
    left = [int(part) for part in $a.split(".")]
    right = [int(part) for part in $b.split(".")]
    size = max(len(left), len(right))
    left += [0] * (size - len(left))
    right += [0] * (size - len(right))
    for x, y in zip(left, right):
        if x > y:
            return 1
        if x < y:
            return -1
    return 0
""",
        {"f": ("compare", "newer", "version_order"),
         "ab": ({"a": "a", "b": "b"}, {"a": "old", "b": "new"})},
        lambda rng: (
            ".".join(str(number(rng, 0, 11)) for _ in range(number(rng, 1, 3))),
            ".".join(str(number(rng, 0, 11)) for _ in range(number(rng, 1, 3))),
        ),
        [("1", "1.0"), ("1.2", "1.10"), ("2.0.1", "2")],
    ),
    Family(
        "calculate",
        "Evaluate $t, numbers and the signs + - * with spaces between them, where a sign stands "
        "behind its two operands. Return the result.",
        """
def $f($t):
    stack = []
    for word in $t.split():
        if word in ("+", "-", "*"):
            right = stack.pop()
            left = stack.pop()
            if word == "+":
                stack.append(left + right)
            elif word == "-":
                stack.append(left - right)
            else:
                stack.append(left * right)
        else:
            stack.append(int(word))
    return stack[-1]
""",
        {"f": ("calculate", "postfix", "evaluate"), "t": ("text", "formula")},
        lambda rng: (
            f"{number(rng, 1, 9)} {number(rng, 1, 9)} {'+-*'[number(rng, 0, 2)]} "
            f"{number(rng, 1, 9)} {'+-*'[number(rng, 0, 2)]}",
        ),
        [("7",), ("1 2 3 + -",)],
    ),
)  # fmt: skip
"""Families about strings."""
