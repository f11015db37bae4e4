# SPDX-License-Identifier: GPL-3.0-or-later
"""An organisation with any number of local authorities, on a sandbox of its own that runs no tasks."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.emulator import call_log
from sandbox.settings import ROOT

REGION = "eu-west-2"
UNIT = "local-authorities"
MANAGEMENT = "100000000001"
HUB = "200000000001"
FIRST_AUTHORITY = 300000000001
_NETWORKS = ipaddress.ip_network("10.0.0.0/8")


@dataclass(frozen=True)
class Fleet:
    """`hub` and `authorities` local authorities; all of it is kept in `folder`."""

    folder: Path
    authorities: int
    latency: int = 0  # milliseconds that each call takes longer

    @property
    def accounts(self) -> dict[str, str]:
        """Account ids by name, in the order of the inventory."""
        named = {f"la{number:03}": str(FIRST_AUTHORITY + number) for number in range(1, self.authorities + 1)}
        return {"hub": HUB, **named}

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory"

    @property
    def state(self) -> Path:
        return self.folder / "sandbox"

    @property
    def calls_file(self) -> Path:
        return self.folder / "calls"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "LOCALGOV_SANDBOX_DIR": str(self.state),
            "LOCALGOV_SANDBOX_ORGANISATION": str(self.folder / "organisation.yml"),
            "LOCALGOV_SANDBOX_RUNTIME": "off",
            call_log.FILE: str(self.calls_file),
            call_log.LATENCY: str(self.latency),
        }

    @property
    def sandbox(self) -> dict[str, Any]:
        """What the running sandbox says of itself."""
        described: dict[str, Any] = json.loads((self.state / "sandbox.json").read_text())
        return described

    @contextmanager
    def running(self) -> Iterator[None]:
        """An empty sandbox, and the inventory for it; gone afterwards."""
        self._write()
        self._sandbox("reset")
        self.calls_file.write_text("")
        self._sandbox("start")
        try:
            yield
        finally:
            self._sandbox("reset")

    def calls(self, since: int = 0) -> Counter[str]:
        """How many calls each account got, by its name, after the first *since* lines of the log."""
        names = {identifier: name for name, identifier in self.accounts.items()}
        lines = self.calls_file.read_text().splitlines()[since:]
        return Counter(names.get(line.split()[0], "others") for line in lines)

    def kinds_of_calls(self, since: int = 0) -> Counter[str]:
        """How many calls of each service and operation came to the authorities' accounts, all together."""
        authorities = {identifier for name, identifier in self.accounts.items() if name != "hub"}
        lines = (line.split(maxsplit=1) for line in self.calls_file.read_text().splitlines()[since:])
        return Counter(kind for account, kind in lines if account in authorities)

    def calls_until_now(self) -> int:
        return len(self.calls_file.read_text().splitlines())

    def _sandbox(self, verb: str) -> None:
        command = [sys.executable, "-m", "sandbox", verb]
        subprocess.run(command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, check=True, timeout=300)

    def _write(self) -> None:
        self.inventory.mkdir(parents=True, exist_ok=True)
        accounts = [{"name": name, "id": identifier, "unit": UNIT} for name, identifier in self.accounts.items()]
        organisation = {
            "region": REGION,
            "organisational_unit": UNIT,
            "management": {"name": "management", "id": MANAGEMENT},
            "accounts": accounts,
        }
        _write_yaml(self.folder / "organisation.yml", organisation)
        ranges = (str(network) for network in _NETWORKS.subnets(new_prefix=20))
        hosts = {
            name: {
                "ansible_aws_account_id": identifier,
                "platform_cidr": next(ranges),
                "platform_image_layouts": str(ROOT / "build" / "images" / "layouts"),
            }
            for name, identifier in self.accounts.items()
        }
        groups = {
            "organisation": {"hosts": {"hub": hosts.pop("hub")}},
            "local_authorities": {"hosts": hosts},
            "outsiders": {"hosts": {}},
        }
        _write_yaml(self.inventory / "hosts.yml", {"all": {"children": groups}})
        for name in ("group_vars", "once.yml"):
            link = self.inventory / name
            link.unlink(missing_ok=True)
            link.symlink_to(ROOT / "inventories" / "sandbox" / name)


def _write_yaml(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False))
