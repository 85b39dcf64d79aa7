"""What a decoder process may still do: read and write the files that it has open, take memory and time up to a limit.

- No new descriptor (RLIMIT_NOFILE 0): it opens no file and no socket, whatever it is made to call.
- No byte in a file, no core, no process of its own; address space and processor time as the limits say.
- No privileges, and none to be had (PR_SET_NO_NEW_PRIVS); the user `nobody` where the server is root.
- Landlock where the kernel has it (5.13): no path, no TCP, no signal to processes outside, no tracing of them.
- Where memory runs out, it is the first that the system ends.
- A network namespace of its own where the kernel grants one: without a network in it.

The kernel's interfaces are called by ctypes: three system calls for Landlock, whose numbers are the same on all
processors; of packages for it none is maintained (dev/LOG.md).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autorag_whisper.domain.decoding import DecodingLimits

_NOBODY = 65_534
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x1000_0000, 0x4000_0000

_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION_FLAG = 1
_FILE_RIGHTS = (0, 13, 14, 15, 15, 16)
"""By Landlock's version, the last for later ones: how many rights on files there are."""
_NET_RIGHTS_FROM, _SCOPES_FROM = 4, 6

_libc = ctypes.CDLL(None, use_errno=True)


def without_network() -> bool:
    """Have this process, of one thread, and those that it forks leave the network; whether the kernel granted it."""
    flags = (_CLONE_NEWNET,) if os.geteuid() == 0 else (_CLONE_NEWUSER | _CLONE_NEWNET,)
    return any(_libc.unshare(flag) == 0 for flag in flags)


def go_first() -> None:
    """Where memory runs out, have the system end this process before any other: it costs one recording."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 - the kernel's
        file.write("1000")


def address_space_bytes() -> int:
    """What this process has mapped now."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - a line of the kernel's
        return int(file.read().split()[0]) * resource.getpagesize()


def confine(limits: DecodingLimits, mapped_bytes: int, first_cpu_s: float) -> None:
    """Give up what decoding does not need. What cannot be given up here, as the kernel lacks it, is left out.

    `mapped_bytes`: the address space before the work; `first_cpu_s`: processor time until `allow_cpu` gives more.
    """
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _landlock()
    if os.geteuid() == 0:
        with suppress(OSError):  # in a user namespace that lacks it
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    memory = mapped_bytes + (limits.memory_mb << 20)
    hard_cpu_s = round(limits.cpu_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (min(hard_cpu_s - 1, round(first_cpu_s)) or 1, hard_cpu_s))
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(what, (most, most))


def allow_cpu(seconds: float) -> None:
    """So much processor time in all from now on, as far as the limits go."""
    _, hard_s = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(hard_s - 1, round(seconds)) or 1, hard_s))


def _landlock() -> bool:
    """No path and no TCP from here on; whether the kernel has it."""
    version = _libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION_FLAG)
    if version < 1:
        return False
    rights = (1 << _FILE_RIGHTS[min(version, len(_FILE_RIGHTS) - 1)]) - 1
    attributes = struct.pack("Q", rights)
    if version >= _NET_RIGHTS_FROM:
        attributes += struct.pack("Q", 0b11)
    if version >= _SCOPES_FROM:
        attributes += struct.pack("Q", 0b11)
    rules = _libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return False
    restricted: int = _libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0)
    os.close(rules)
    return restricted == 0
