# SPDX-License-Identifier: GPL-3.0-or-later
"""Which loopback address a task listens on.

A name (a Cloud Map name, a service, a task family, each within its account) is given an address once and keeps it for
the life of the sandbox: it is written to a file, so a restart, and a client that is started before the service it
calls, know the same address. A task that finds its name's address in use by a sister takes a passing one.

The first two octets are the sandbox's task network. ``x.x.0.*`` is the sandbox's own, ``x.x.1-127.*`` are kept
addresses, ``x.x.128-254.*`` are passing ones.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from pathlib import Path

_OWN = range(0, 1)
_KEPT = range(1, 128)
_PASSING = range(128, 255)
_HOSTS = range(1, 255)
# Of the sandbox's own: the lowest are of its endpoint and its databases.
_OWN_HOSTS = range(10, 255)


class NoAddressError(Exception):
    """More tasks than a task network has addresses, or a predecessor that does not give its address back."""


class Addresses:
    def __init__(self, file: Path, network: str) -> None:
        self._file = file
        self._network = network
        self._kept: dict[str, str] = self._read()
        self._holders: dict[str, str] = {}  # address -> task
        self._passing = itertools.cycle((third, host) for third in _PASSING for host in _HOSTS)
        self._changed = threading.Condition()

    def of(self, name: str) -> str:
        """The address that this name keeps, chosen now when it has none yet."""
        with self._changed:
            if name not in self._kept:
                self._kept[name] = self._unused(_KEPT, _HOSTS)
                self._write()
            return self._kept[name]

    def own(self, name: str) -> str:
        """An address among the sandbox's own, for what is no task; its certificate is valid there."""
        with self._changed:
            if name not in self._kept:
                self._kept[name] = self._unused(_OWN, _OWN_HOSTS)
                self._write()
            return self._kept[name]

    def lease(self, task: str, name: str, *, wait: float = 0.0) -> str:
        """An address for *task*: its name's, for which it waits *wait* seconds, else (without *wait*) a passing one."""
        wanted = self.of(name)
        with self._changed:
            if self._holders.get(wanted) == task:
                return wanted
            free = self._changed.wait_for(lambda: wanted not in self._holders, timeout=wait or 0.001)
            if not free and wait:
                raise NoAddressError(
                    f"{self._holders[wanted]} still holds the address {wanted} of {name} after {wait:.0f} s"
                )
            address = wanted if free else self._next_passing()
            self._holders[address] = task
            return address

    def release(self, task: str) -> None:
        with self._changed:
            for address in [held for held, holder in self._holders.items() if holder == task]:
                del self._holders[address]
            self._changed.notify_all()

    def _unused(self, thirds: range, hosts: range) -> str:
        taken = set(self._kept.values())
        for third, host in itertools.product(thirds, hosts):
            address = f"{self._network}.{third}.{host}"
            if address not in taken:
                return address
        raise NoAddressError(f"All {len(taken)} kept addresses of {self._network}.0.0/16 are given away.")

    def _next_passing(self) -> str:
        for third, host in itertools.islice(self._passing, len(_PASSING) * len(_HOSTS)):
            address = f"{self._network}.{third}.{host}"
            if address not in self._holders:
                return address
        raise NoAddressError(f"All passing addresses of {self._network}.0.0/16 are in use.")

    def _read(self) -> dict[str, str]:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        # Another task network was chosen since: its addresses mean nothing here.
        return {name: address for name, address in kept.items() if address.startswith(f"{self._network}.")}

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(f".{time.monotonic_ns()}")
        draft.write_text(json.dumps(self._kept, indent=2) + "\n", encoding="utf-8")
        draft.replace(self._file)
