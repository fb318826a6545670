"""How long importing takes, side by side with gymnasium alone, and `agentgym --help`.

python bench/startup.py
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

COMMANDS = {
    "python, nothing imported": [sys.executable, "-c", "pass"],
    "import gymnasium": [sys.executable, "-c", "import gymnasium"],
    "import agentgym": [sys.executable, "-c", "import agentgym"],
    "agentgym --help": [str(Path(sys.executable).parent / "agentgym"), "--help"],
    "agentgym list": [str(Path(sys.executable).parent / "agentgym"), "list"],
}


def main() -> None:
    """Run every command 11 times in turn and print the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(11):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    bare = median(seconds["python, nothing imported"])
    table = Table("", "median s", "more than bare python", title="start-up, 11 runs each")
    for name, runs in seconds.items():
        table.add_row(name, f"{median(runs):.3f}", f"{median(runs) - bare:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
