"""The attacks S01 to S30, each under the caps that promise it fails."""

from collections.abc import Callable

from agentgym.testing import sandbox_load as load
from agentgym.testing import sandbox_reach as reach
from agentgym.tools.sandbox.base import Sandbox

Attack = tuple[str, Callable[[Sandbox], None], tuple[str, ...]]

ATTACKS: tuple[Attack, ...] = (
    ("S01 fork bomb", load.s01_fork_bomb, ("pids", "tree_kill")),
    ("S02 fork bomb in the background", load.s02_fork_bomb_in_background, ("pids", "tree_kill")),
    ("S03 memory", load.s03_memory, ("memory",)),
    ("S03 memory of many", load.s03_memory_of_many, ("memory",)),
    ("S04 fill the disk", load.s04_fill_the_disk, ("disk",)),
    ("S05 write elsewhere", reach.s05_write_elsewhere, ("files",)),
    ("S06 fill with names", load.s06_fill_with_names, ("inodes",)),
    ("S07 flood of output", load.s07_flood_of_output, ()),
    ("S08 both streams", load.s08_both_streams, ()),
    ("S09 sigterm ignored", load.s09_sigterm_ignored, ()),
    ("S10 daemon", load.s10_daemon, ("tree_kill",)),
    ("S11 daemon holds stdout", load.s11_daemon_holds_stdout, ("tree_kill",)),
    ("S12 kill the supervisor", reach.s12_kill_the_supervisor, ("tree_kill", "syscalls")),
    ("S13 kill everything", reach.s13_kill_everything, ("tree_kill",)),
    ("S14 network", reach.s14_network, ("network",)),
    ("S15 kernel interfaces", reach.s15_kernel_interfaces, ("syscalls",)),
    ("S16 system files", reach.s16_system_files, ("files",)),
    ("S17 setuid program", reach.s17_setuid_program, ("syscalls",)),
    ("S18 secrets of the host", reach.s18_secrets_of_the_host, ("files",)),
    ("S19 links", reach.s19_links, ("files",)),
    ("S20 odd files", reach.s20_odd_files, ()),
    ("S21 tar escape", reach.s21_tar_escape, ("files",)),
    ("S22 odd names", reach.s22_odd_names, ()),
    ("S23 large words", reach.s23_large_words, ()),
    ("S24 cpu", load.s24_cpu, ("cpu",)),
    ("S25 huge files", load.s25_huge_files, ()),
    ("S26 clock and power", reach.s26_clock_and_power, ("syscalls",)),
    ("S27 core dumps", load.s27_core_dumps, ()),
    ("S29 memory of a kernel", load.s29_memory_of_a_kernel, ("kernel",)),
    ("S30 odd output", load.s30_odd_output, ()),
)

"""Names, attacks, and the caps under which they must fail. S28 needs two: see `check_sandbox`."""
