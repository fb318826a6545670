"""A filter of system calls: what programs in a sandbox are refused, as bytes for the kernel.

Classic BPF, as `prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ...)` takes it (Linux,
Documentation/userspace-api/seccomp_filter.rst). It is a list of what is refused and not of what is
allowed: namespaces, the absence of capabilities and no-new-privileges hold a program; the filter
takes away parts of the kernel that no honest program here needs.
"""

import errno
import platform
import struct
from typing import Final

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCH, _ARGUMENT = 0, 4, 16  # offsets into struct seccomp_data

_CLONE_NEW: Final = 0x7E020000
"""CLONE_NEW*: namespaces for users, mounts, processes, network, names, IPC and cgroups."""

_FAMILIES: Final = (1, 2, 10, 16)
"""Sockets that a network namespace holds: unix, IPv4, IPv6, netlink. A vsock leads to the host."""

_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

_REFUSED: Final = {
    # name: (number on x86_64, on aarch64)
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
_CLONE, _CLONE3, _SOCKET, _PRLIMIT = (56, 220), (435, 435), (41, 198), (302, 261)


def calls_refused(machine: str = "") -> dict[str, int]:
    """Return the numbers of the system calls that are refused whatever their arguments are."""
    known = _ARCHITECTURES.get(machine or platform.machine())
    if known is None:
        return {}
    numbers = {name: each[known[1]] for name, each in _REFUSED.items()}
    return {name: number for name, number in numbers.items() if number is not None}


def deny_filter(machine: str = "") -> bytes:
    """Return the filter for a machine (by default this one), or nothing for an unknown kind."""
    known = _ARCHITECTURES.get(machine or platform.machine())
    if known is None:
        return b""
    arch, which = known
    refuse, number = _ERRNO | errno.EPERM, (_LOAD, 0, 0, _NUMBER)
    code = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), number]
    if which == 0:  # the x32 calls are other names of the same
        code += [(_ANY_BIT, 0, 1, 0x40000000), (_RETURN, 0, 0, refuse)]
    for call in calls_refused(machine).values():
        code += [(_EQUAL, 0, 1, call), (_RETURN, 0, 0, refuse)]
    # Its flags are in memory, where no filter can look; C libraries then use clone.
    code += [(_EQUAL, 0, 1, _CLONE3[which]), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    code += [  # limits of others, such as the supervisor, are not for programs to set
        (_EQUAL, 0, 3, _PRLIMIT[which]),
        (_LOAD, 0, 0, _ARGUMENT),
        (_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, refuse),
        number,
        (_EQUAL, 0, 3, _CLONE[which]),
        (_LOAD, 0, 0, _ARGUMENT),
        (_ANY_BIT, 0, 1, _CLONE_NEW),
        (_RETURN, 0, 0, refuse),
        number,
        (_EQUAL, 0, 2 + len(_FAMILIES), _SOCKET[which]),
        (_LOAD, 0, 0, _ARGUMENT),
    ]
    for k, family in enumerate(_FAMILIES):
        code.append((_EQUAL, len(_FAMILIES) - k, 0, family))
    code += [(_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *each) for each in code)
