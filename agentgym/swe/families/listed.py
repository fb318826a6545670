"""Functions of lists and dictionaries."""

from typing import Final

from agentgym.swe.families.base import Family, number, numbers, words

LISTED: Final = (
    Family(
        "rotate",
        "Return the list $xs moved by k places to the $side, from one end to the other.",
        """
def $f($xs, k):
    if not $xs:
        return []
    k = k % len($xs)
    return $xs[$cut:] + $xs[:$cut]
""",
        {"f": ("rotate", "turned", "moved"), "xs": ("xs", "values"),
         "s": ({"side": "left", "cut": "k"}, {"side": "right", "cut": "-k"})},
        lambda rng: (numbers(rng), number(rng, 0, 9)),
        [([], 2), ([1, 2, 3], 1)],
    ),
    Family(
        "chunks",
        "Cut the list $xs into lists of $k; the last one may be shorter.",
        """
def $f($xs):
    out = []
    for start in range(0, len($xs), $k):
        out.append($xs[start:start + $k])
    return out
""",
        {"f": ("chunks", "batches", "in_groups"), "xs": ("xs", "values"), "k": ("2", "3", "4")},
        lambda rng: (numbers(rng),),
        [([],), ([1, 2, 3, 4, 5],)],
    ),
    Family(
        "running totals",
        "Return the sums of the first 1, 2, 3, ... values of $xs.",
        """
def $f($xs):
    out = []
    total = 0
    for x in $xs:
        total += x
        out.append(total)
    return out
""",
        {"f": ("running_totals", "cumulated", "so_far"), "xs": ("xs", "values")},
        lambda rng: (numbers(rng),),
    ),
    Family(
        "second",
        "Return the second $word value of $xs; equal values count once. None if there is none.",
        """
def $f($xs):
    kept = sorted(set($xs)$reverse)
    if len(kept) < 2:
        return None
    return kept[1]
""",
        {"f": ("second", "runner_up", "next_best"), "xs": ("xs", "scores"),
         "w": ({"word": "largest", "reverse": ", reverse=True"},
               {"word": "smallest", "reverse": ", reverse=False"})},
        lambda rng: (numbers(rng),),
        [([],), ([3, 3],), ([3, 1, 2],)],
    ),
    Family(
        "window sums",
        "Return the sums of every $k neighbouring values of $xs, from the first to the last.",
        """
def $f($xs):
    out = []
    for start in range(len($xs) - $k + 1):
        out.append(sum($xs[start:start + $k]))
    return out
""",
        {"f": ("window_sums", "moving_sums", "sums_of"), "xs": ("xs", "values"),
         "k": ("2", "3", "4")},
        lambda rng: (numbers(rng),),
        [([1, 2, 3, 4, 5],), ([1],)],
    ),
    Family(
        "without repeats",
        "Return $xs without values that were there before, in their order.",
        """
def $f($xs):
    seen = set()
    out = []
    for x in $xs:
        if x not in seen:
            seen.add(x)
            out.append(x)
    return out
""",
        {"f": ("unique", "without_repeats", "distinct"), "xs": ("xs", "values", "names")},
        lambda rng: (numbers(rng, 0, 4),),
    ),
    Family(
        "merge sorted",
        "Merge the ascending lists $a and $b into one ascending list.",
        """
def $f($a, $b):
    out = []
    i = j = 0
    while i < len($a) and j < len($b):
        if $a[i] <= $b[j]:
            out.append($a[i])
            i += 1
        else:
            out.append($b[j])
            j += 1
    return out + $a[i:] + $b[j:]
""",
        {"f": ("merge", "merged", "zip_sorted"),
         "ab": ({"a": "a", "b": "b"}, {"a": "left", "b": "right"})},
        lambda rng: tuple(
            sorted(number(rng, -9, 9) for _ in range(number(rng, 0, 5))) for _ in range(2)
        ),
    ),
    Family(
        "binary search",
        "Return where $x stands in the ascending list $xs of different values; -1 if it does not.",
        """
def $f($xs, $x):
    low, high = 0, len($xs) - 1
    while low <= high:
        middle = (low + high) // 2
        if $xs[middle] == $x:
            return middle
        if $xs[middle] < $x:
            low = middle + 1
        else:
            high = middle - 1
    return -1
""",
        {"f": ("find", "search", "place_of"), "xs": ("xs", "values"), "x": ("x", "wanted")},
        lambda rng: (
            sorted({number(rng, 0, 20) for _ in range(number(rng, 0, 9))}), number(rng, 0, 20)
        ),
        [([1, 3, 5, 7], 7), ([1, 3, 5, 7], 1), ([], 4)],
    ),
    Family(
        "pairs with a sum",
        "Return how many pairs of places in $xs have values with the sum $k.",
        """
def $f($xs):
    count = 0
    for i in range(len($xs)):
        for j in range(i + 1, len($xs)):
            if $xs[i] + $xs[j] == $k:
                count += 1
    return count
""",
        {"f": ("pairs", "count_pairs", "matches"), "xs": ("xs", "values"), "k": ("5", "0", "7")},
        lambda rng: (numbers(rng, 0, 7, 8, 3),),
    ),
    Family(
        "longest run",
        "Return the length of the longest stretch of $xs in which every value is $word the one "
        "before.",
        """
def $f($xs):
    best = run = 0
    for i, x in enumerate($xs):
        if i > 0 and x $op $xs[i - 1]:
            run += 1
        else:
            run = 1
        best = max(best, run)
    return best
""",
        {"f": ("longest_run", "best_streak", "stretch"), "xs": ("xs", "values"),
         "w": ({"word": "above", "op": ">"}, {"word": "below", "op": "<"},
               {"word": "at least", "op": ">="})},
        lambda rng: (numbers(rng, 0, 5),),
        [([],), ([1, 1, 2],)],
    ),
    Family(
        "most common",
        "Return the commonest value of $xs; of equally common ones the one that came first. Raise "
        "ValueError if there is none.",
        """
def $f($xs):
    if not $xs:
        raise ValueError("nothing to count")
    counts = {}
    for x in $xs:
        counts[x] = counts.get(x, 0) + 1
    best = $xs[0]
    for x in counts:
        if counts[x] > counts[best]:
            best = x
    return best
""",
        {"f": ("most_common", "mode", "favourite"), "xs": ("xs", "votes")},
        lambda rng: (words(rng) if rng.random() < 0.5 else numbers(rng, 0, 3),),
        [([],), (["oak", "elm", "elm"],)],
    ),
    Family(
        "insert sorted",
        "Return the ascending list $xs with $x put in; behind values that are equal to it.",
        """
def $f($xs, $x):
    place = 0
    while place < len($xs) and $xs[place] <= $x:
        place += 1
    return $xs[:place] + [$x] + $xs[place:]
""",
        {"f": ("insert", "put_in", "with_value"), "xs": ("xs", "values"), "x": ("x", "new")},
        lambda rng: (
            sorted(number(rng, 0, 9) for _ in range(number(rng, 0, 6))), number(rng, 0, 9)
        ),
    ),
    Family(
        "flatten",
        "Return the values of the list $xs and of all lists in it, $order.",
        """
def $f($xs):
    out = []
    for x in $each:
        if isinstance(x, list):
            out.extend($f(x))
        else:
            out.append(x)
    return out
""",
        {"f": ("flatten", "flat", "all_values"),
         "v": ({"xs": "xs", "each": "xs", "order": "in their order"},
               {"xs": "tree", "each": "tree", "order": "in their order"},
               {"xs": "xs", "each": "reversed(xs)", "order": "from the last to the first"})},
        lambda rng: ([numbers(rng, most=3), number(rng, 0, 9), [numbers(rng, most=2)]],),
        [([],), ([1, [2, [3]]],)],
    ),
    Family(
        "group",
        "Return a dictionary from $what to the list of those words of $xs, in their order.",
        """
def $f($xs):
    groups = {}
    for word in $xs:
        key = $key
        if key not in groups:
            groups[key] = []
        groups[key].append(word)
    return groups
""",
        {"f": ("grouped", "group", "by_key"), "xs": ("xs", "names"),
         "w": ({"what": "the first letter", "key": "word[0]"},
               {"what": "the last letter", "key": "word[-1]"},
               {"what": "the length, as text,", "key": "str(len(word))"})},
        lambda rng: (words(rng),),
    ),
    Family(
        "stock",
        "Return the dictionary $a of counts without those of $b taken away; names whose count is "
        "then not above 0 are left out.",
        """
def $f($a, $b):
    out = {}
    for name, count in $a.items():
        left = count - $b.get(name, 0)
        if left > 0:
            out[name] = left
    return out
""",
        {"f": ("remaining", "take_away", "left_over"),
         "ab": ({"a": "stock", "b": "sold"}, {"a": "have", "b": "need"})},
        lambda rng: (
            {name: number(rng, 1, 5) for name in ("tea", "salt", "oil")},
            {name: number(rng, 1, 5) for name in ("tea", "oil", "ink")},
        ),
    ),
    Family(
        "invert",
        "Turn the dictionary $d round: from each value to the ascending list of its names.",
        """
def $f($d):
    out = {}
    for name in sorted($d):
        out.setdefault($d[name], []).append(name)
    return out
""",
        {"f": ("inverted", "turn_round", "by_value"), "d": ("table", "d", "owners")},
        lambda rng: (
            {name: "xyz"[number(rng, 0, 2)] for name in ("pear", "fig", "plum", "elm")[::-1]},
        ),
    ),
)  # fmt: skip
"""Families about lists and dictionaries."""
