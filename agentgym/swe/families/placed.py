"""Functions of times, grids and intervals."""

from typing import Final

from agentgym.swe.families.base import Family, grid, intervals, number

PLACED: Final = (
    Family(
        "clock",
        "Write $n minutes after midnight as hours and minutes with two digits each, such as "
        "'$shown'; after a day it begins anew.",
        """
def $f($n):
    hours = $n // 60 % 24
    minutes = $n % 60
    return f"{hours:02d}$sep{minutes:02d}"
""",
        {"f": ("clock", "time_of", "shown"), "n": ("n", "minutes_passed"),
         "s": ({"shown": "07:30", "sep": ":"}, {"shown": "07.30", "sep": "."})},
        lambda rng: (number(rng, 0, 3000),),
        [(0,), (1439,), (1440,)],
    ),
    Family(
        "minutes",
        "Return the minutes from midnight to the time $t, such as '7:30'. Raise ValueError for "
        "hours above 23 or minutes above 59.",
        """
def $f($t):
    hours, minutes = $t.split(":")
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError($t)
    return int(hours) * 60 + int(minutes)
""",
        {"f": ("minutes", "read_time", "since_midnight"), "t": ("text", "time")},
        lambda rng: (f"{number(rng, 0, 25)}:{number(rng, 0, 62):02d}",),
        [("0:00",), ("23:59",), ("24:00",), ("9:60",), ("8:05",)],
    ),
    Family(
        "days in month",
        "Return how many days the month $m (1 to 12) has; $leap says whether it is a leap year.",
        """
def $f($m, $leap):
    if $m == 2:
        return 29 if $leap else 28
    if $m in (4, 6, 9, 11):
        return 30
    return 31
""",
        {"f": ("days_in_month", "month_length", "days"), "m": ("month", "m"),
         "leap": ("leap", "is_leap")},
        lambda rng: (number(rng, 1, 12), bool(rng.integers(2))),
        [(2, True), (2, False), (4, False), (12, True)],
    ),
    Family(
        "duration",
        "Return the seconds that $t stands for: numbers followed by d, h, m or s, such as '1h30m'. "
        "Numbers without a letter behind them count for nothing.",
        """
def $f($t):
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    total = 0
    digits = ""
    for c in $t:
        if c.isdigit():
            digits += c
        elif c in units and digits:
            total += int(digits) * units[c]
            digits = ""
    return total
""",
        {"f": ("duration", "seconds", "read_duration"), "t": ("text", "spec")},
        lambda rng: (
            "".join(f"{number(rng, 0, 20)}{unit}" for unit in "dhms" if rng.random() < 0.6),
        ),
        [("",), ("90m",), ("1h30",), ("2d",)],
    ),
    Family(
        "weekday",
        "Return the place in the week (0 to 6) of the day $n days after one with the place $start; "
        "$n may be negative.",
        """
def $f($start, $n):
    return ($start + $n) % 7
""",
        {"f": ("weekday", "day_after", "place_in_week"), "start": ("start", "today"),
         "n": ("n", "days")},
        lambda rng: (number(rng, 0, 6), number(rng, -20, 20)),
        [(6, 1), (0, -1)],
    ),
    Family(
        "neighbours",
        "Return how many of the $many neighbours of row $r, column $c in the grid $g are 1.",
        """
def $f($g, $r, $c):
    count = 0
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            if $skip:
                continue
            row, column = $r + dr, $c + dc
            if 0 <= row < len($g) and 0 <= column < len($g[0]):
                count += $g[row][column]
    return count
""",
        {"f": ("neighbours", "alive_around", "count_near"), "g": ("grid", "board"),
         "rc": ({"r": "r", "c": "c"}, {"r": "y", "c": "x"}),
         "m": ({"many": "eight", "skip": "dr == 0 and dc == 0"},
               {"many": "four nearest", "skip": "abs(dr) + abs(dc) != 1"})},
        lambda rng: (grid(rng), 0, 0),
        [([[1, 1, 1], [1, 1, 1], [1, 1, 1]], 1, 1), ([[1, 1, 1], [1, 0, 1], [1, 1, 1]], 2, 2)],
    ),
    Family(
        "turn a grid",
        "Return the rows of $g turned by a quarter to the $side.",
        """
def $f($g):
    height, width = len($g), len($g[0])
    out = []
    for $column in $order:
        out.append([$g[row][$column] for row in $rows])
    return out
""",
        {"f": ("turned", "rotate", "quarter_turn"), "g": ("grid", "rows_of"),
         "column": ("column", "c"),
         "s": ({"side": "right", "order": "range(width)", "rows": "range(height - 1, -1, -1)"},
               {"side": "left", "order": "range(width - 1, -1, -1)", "rows": "range(height)"})},
        lambda rng: (grid(rng, 0, 9),),
        [([[1, 2], [3, 4]],)],
    ),
    Family(
        "area",
        "Return how many cells of the grid $g hang together with the first one of the first row "
        "over sides, where all have its value.",
        """
def $f($g):
    colour = $g[0][0]
    seen = set()
    open_cells = [(0, 0)]
    while open_cells:
        row, column = open_cells.pop()
        if (row, column) in seen:
            continue
        if not (0 <= row < len($g) and 0 <= column < len($g[0])):
            continue
        if $g[row][column] != colour:
            continue
        seen.add((row, column))
        open_cells += [(row + 1, column), (row - 1, column)]
        open_cells += [(row, column + 1), (row, column - 1)]
    return len(seen)
""",
        {"f": ("area", "region_size", "flood"), "g": ("grid", "map_of")},
        lambda rng: (grid(rng),),
        [([[1, 1], [1, 0]],), ([[0, 1, 0], [0, 1, 0], [0, 0, 0]],)],
    ),
    Family(
        "diagonals",
        "Return the sum of $what of the square grid $g.",
        """
def $f($g):
    size = len($g)
    total = 0
    for i in range(size):
        total += $g[i][$place]
    return total
""",
        {"f": ("diagonal_sum", "trace", "slant"), "g": ("grid", "square"),
         "w": ({"what": "the diagonal from the upper left", "place": "i"},
               {"what": "the diagonal from the upper right", "place": "size - 1 - i"})},
        lambda rng: (grid(rng, 0, 9, square=True),),
    ),
    Family(
        "ways",
        "Return how many ways lead from the upper left to the lower right of the grid $g, going "
        "only right and down, and not through cells that are 1. The first cell counts as free.",
        """
def $f($g):
    height, width = len($g), len($g[0])
    ways = [[0] * width for _ in range(height)]
    for row in range(height):
        for column in range(width):
            if row == 0 and column == 0:
                ways[0][0] = 1
            elif $g[row][column] == 0:
                above = ways[row - 1][column] if row > 0 else 0
                left = ways[row][column - 1] if column > 0 else 0
                ways[row][column] = above + left
    return ways[-1][-1]
""",
        {"f": ("ways", "paths", "count_paths"), "g": ("grid", "walls")},
        lambda rng: (grid(rng),),
        [([[0, 0, 0], [0, 0, 0]],)],
    ),
    Family(
        "merge intervals",
        "Merge those of the intervals $xs that overlap or touch; return them in ascending order.",
        """
def $f($xs):
    out = []
    for start, end in sorted($xs):
        if out and start <= out[-1][1]:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
    return out
""",
        {"f": ("merge", "merge_intervals", "joined"), "xs": ("xs", "intervals", "bookings")},
        lambda rng: (intervals(rng),),
        [([[1, 3], [3, 5]],), ([[1, 9], [2, 3]],)],
    ),
    Family(
        "overlap",
        "Return for how long the intervals $a and $b, each a start and an end, overlap.",
        """
def $f($a, $b):
    start = max($a[0], $b[0])
    end = min($a[1], $b[1])
    return max(0, end - start)
""",
        {"f": ("overlap", "shared_time", "common"),
         "ab": ({"a": "a", "b": "b"}, {"a": "one", "b": "other"})},
        lambda rng: ((intervals(rng) or [[0, 1]])[0], (intervals(rng) or [[4, 9]])[0]),
        [([0, 5], [3, 9]), ([0, 2], [5, 6])],
    ),
    Family(
        "free gaps",
        "Return the gaps from 0 to $end that the intervals $xs, ascending and apart, leave free.",
        """
def $f($xs):
    gaps = []
    at = 0
    for start, stop in $xs:
        if start > at:
            gaps.append([at, start])
        at = stop
    if at < $end:
        gaps.append([at, $end])
    return gaps
""",
        {"f": ("gaps", "free_time", "holes"), "xs": ("busy", "xs"), "end": ("24", "20", "30")},
        lambda rng: ([[a, a + number(rng, 1, 3)] for a in (2, 7, 12, 17) if rng.random() < 0.6],),
        [([],), ([[0, 5]],), ([[3, 20]],), ([[3, 24]],), ([[3, 30]],)],
    ),
    Family(
        "busiest",
        "Return how many of the intervals $xs hold at the same time at most; at its end an "
        "interval is over.",
        """
def $f($xs):
    best = 0
    for start, _ in $xs:
        count = 0
        for other, end in $xs:
            if other <= start < end:
                count += 1
        best = max(best, count)
    return best
""",
        {"f": ("busiest", "rooms_needed", "most_at_once"), "xs": ("xs", "meetings")},
        lambda rng: (intervals(rng),),
        [([],), ([[1, 3], [3, 5]],)],
    ),
)  # fmt: skip
"""Families about times, grids and intervals."""
