"""Functions of numbers."""

from typing import Final

from agentgym.swe.families.base import Family, number, numbers

NUMERIC: Final = (
    Family(
        "clamp",
        "Return $x, but not less than $low and not more than $high.",
        """
def $f($x, $low, $high):
    if $x < $low:
        return $low
    if $x > $high:
        return $high
    return $x
""",
        {"f": ("clamp", "limit", "bounded"), "x": ("value", "x", "n"),
         "b": ({"low": "low", "high": "high"}, {"low": "least", "high": "most"})},
        lambda rng: (number(rng, -9, 9), number(rng, -4, 0), number(rng, 1, 4)),
    ),
    Family(
        "digit sum",
        "Return the sum of the digits of the whole number $x (not negative) in base $base.",
        """
def $f($x):
    total = 0
    while $x > 0:
        total += $x % $base
        $x = $x // $base
    return total
""",
        {"f": ("digit_sum", "cross_sum", "sum_digits"), "x": ("n", "value", "number"),
         "base": ("10", "2", "8", "16", "7")},
        lambda rng: (number(rng, 0, 5000),),
        [(0,), (1,)],
    ),
    Family(
        "common divisor",
        "Return the greatest common divisor of $a and $b, which are not negative.",
        """
def $f($a, $b):
    while $b != 0:
        $a, $b = $b, $a % $b
    return $a
""",
        {"f": ("gcd", "common_divisor", "greatest_divisor"),
         "n": ({"a": "a", "b": "b"}, {"a": "m", "b": "n"}, {"a": "first", "b": "second"})},
        lambda rng: (number(rng, 0, 12) * number(rng, 1, 9), number(rng, 1, 12) * 6),
        [(0, 5), (7, 0)],
    ),
    Family(
        "is prime",
        "Return whether $n is a prime number.",
        """
def $f($n):
    if $n < 2:
        return False
    $d = 2
    while $d * $d <= $n:
        if $n % $d == 0:
            return False
        $d += 1
    return True
""",
        {"f": ("is_prime", "prime", "has_no_divisor"), "n": ("n", "value"), "d": ("d", "divisor")},
        lambda rng: (number(rng, 0, 60),),
        [(1,), (2,), (4,), (9,), (25,), (49,)],
    ),
    Family(
        "steps to one",
        "Count the steps from $n (at least 1) down to 1: even numbers are halved, others become "
        "$k times themselves plus 1. Stop after $most steps.",
        """
def $f($n):
    steps = 0
    while $n != 1 and steps < $most:
        if $n % 2 == 0:
            $n = $n // 2
        else:
            $n = $k * $n + 1
        steps += 1
    return steps
""",
        {"f": ("steps_to_one", "collatz", "hailstones"), "n": ("n", "value"), "k": ("3", "5"),
         "most": ("30", "50", "100")},
        lambda rng: (number(rng, 1, 40),),
        [(1,), (2,)],
    ),
    Family(
        "leap year",
        "Return whether $y is a leap year: it is divisible by 4, but not by 100 unless by 400.",
        """
def $f($y):
    if $y % 400 == 0:
        return True
    if $y % 100 == 0:
        return False
    return $y % 4 == 0
""",
        {"f": ("is_leap", "leap_year", "has_leap_day"), "y": ("year", "y")},
        lambda rng: (number(rng, 1890, 2110),),
        [(1900,), (2000,), (2024,), (2023,), (2100,)],
    ),
    Family(
        "roman",
        "Write the whole number $n (1 to 3999) in Roman numerals.",
        """
def $f($n):
    values = [1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1]
    signs = ["M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"]
    $out = ""
    for value, sign in zip(values, signs):
        while $n >= value:
            $out = $out + sign
            $n = $n - value
    return $out
""",
        {"f": ("roman", "to_roman", "numeral"), "n": ("n", "number"), "out": ("out", "text")},
        lambda rng: (number(rng, 1, 3999),),
        [(4,), (9,), (1000,)],
    ),
    Family(
        "round to a multiple",
        "Return the multiple of $k nearest to $n (not negative); in the middle, the larger one.",
        """
def $f($n):
    rest = $n % $k
    if rest * 2 >= $k:
        return $n - rest + $k
    return $n - rest
""",
        {"f": ("round_to", "nearest", "snap"), "n": ("n", "value", "amount"),
         "k": ("5", "10", "4", "6")},
        lambda rng: (number(rng, 0, 60),),
        [(5,), (2,), (3,)],
    ),
    Family(
        "label",
        'Return "$both" if $n is divisible by $a and by $b, "$one" if only by $a, "$two" if only '
        "by $b, else the number as text.",
        """
def $f($n):
    if $n % $a == 0 and $n % $b == 0:
        return "$both"
    if $n % $a == 0:
        return "$one"
    if $n % $b == 0:
        return "$two"
    return str($n)
""",
        {"f": ("label", "fizz", "name_of"), "n": ("n", "i"),
         "ab": ({"a": "3", "b": "5"}, {"a": "2", "b": "7"}, {"a": "4", "b": "3"}),
         "w": ({"both": "fizzbuzz", "one": "fizz", "two": "buzz"},
               {"both": "hot tea", "one": "hot", "two": "tea"})},
        lambda rng: (number(rng, 1, 45),),
        [(15,), (14,), (12,), (3,), (2,), (5,), (7,), (4,)],
    ),
    Family(
        "power",
        "Return $b to the power of $e (not negative), modulo $m.",
        """
def $f($b, $e, $m):
    out = 1
    while $e > 0:
        if $e % 2 == 1:
            out = out * $b % $m
        $b = $b * $b % $m
        $e = $e // 2
    return out % $m
""",
        {"f": ("power", "pow_mod", "raised"), "b": ("base", "b"), "e": ("exponent", "e"),
         "m": ("modulus", "m")},
        lambda rng: (number(rng, 0, 20), number(rng, 0, 20), number(rng, 1, 30)),
        [(3, 0, 1), (2, 0, 7)],
    ),
    Family(
        "in base",
        "Write the whole number $n (not negative) in base $base, as text.",
        """
def $f($n):
    if $n == 0:
        return "0"
    $out = ""
    while $n > 0:
        $out = str($n % $base) + $out
        $n = $n // $base
    return $out
""",
        {"f": ("in_base", "digits", "written"), "n": ("n", "value"), "out": ("out", "text"),
         "base": ("2", "3", "5", "8")},
        lambda rng: (number(rng, 0, 300),),
        [(0,), (1,)],
    ),
    Family(
        "mean",
        "Return the mean of the list $xs without its smallest and its largest value, rounded down. "
        "With fewer than 3 values raise ValueError.",
        """
def $f($xs):
    if len($xs) < 3:
        raise ValueError("too few values")
    rest = sorted($xs)[1:-1]
    return sum(rest) // len(rest)
""",
        {"f": ("trimmed_mean", "fair_mean", "judge"), "xs": ("values", "xs", "marks")},
        lambda rng: (numbers(rng, 0, 20, 7),),
        [([],), ([1, 2],), ([4, 1, 9],)],
    ),
    Family(
        "change",
        "Return how many coins pay $n when the largest possible one of $coins is always next.",
        """
def $f($n):
    count = 0
    for coin in $coins:
        count += $n // coin
        $n = $n % coin
    return count
""",
        {"f": ("coins", "change", "pieces"), "n": ("amount", "n", "cents"),
         "coins": ("[50, 20, 10, 5, 2, 1]", "[25, 10, 5, 1]", "[12, 5, 1]")},
        lambda rng: (number(rng, 0, 150),),
    ),
)  # fmt: skip
"""Families about numbers."""
