# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this sandbox lives: its folder, accounts, ports and task network.

Everything is settled once, at the first start, and remembered in the state folder, so that endpoints written into
stacks and task definitions stay true after a restart. The environment overrides what is remembered.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent

# Outside the range that Linux hands to outgoing connections (32768-60999), so a remembered port stays free.
_PORT_BLOCKS = range(20000, 32000, 100)
_DATABASE_PORTS = range(10, 90)  # of a block; one for each database
_NETWORK_OCTETS = range(64, 250)
# The running emulator keeps this port of its task network's last address bound: the sign that the network is taken.
_NETWORK_CLAIM_PORT = 20999


class SettingsError(Exception):
    """What the person has to change before the sandbox can run."""


@dataclass(frozen=True)
class Account:
    name: str
    id: str
    unit: str | None = None
    in_organisation: bool = True


@dataclass(frozen=True)
class Settings:
    root: Path
    state: Path
    region: str
    port: int
    browser_port: int
    database_port_base: int
    task_network: str  # the first two octets of the tasks' addresses, such as "127.77"
    management: Account
    unit: str
    accounts: dict[str, Account]  # by name, without the management account
    runtime: str  # "processes", "off" or "docker"

    @property
    def endpoint_url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def browser_endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.browser_port}"

    @property
    def ca_bundle(self) -> Path:
        return self.state / "certificates" / "ca.pem"

    @property
    def server_certificate(self) -> Path:
        return self.state / "certificates" / "server.pem"

    @property
    def server_key(self) -> Path:
        return self.state / "certificates" / "server-key.pem"

    @property
    def shared_credentials_file(self) -> Path:
        return self.state / "aws" / "credentials"

    @property
    def control_token(self) -> Path:
        """Who can read it may ask the running sandbox for sessions; new at every start."""
        return self.state / "control-token"

    @property
    def description(self) -> Path:
        """What inventories and tests read about a running sandbox."""
        return self.state / "sandbox.json"

    @property
    def log(self) -> Path:
        return self.state / "logs" / "emulator.log"

    @property
    def saved(self) -> Path:
        """Where the emulator keeps its state between runs."""
        return self.state / "state"

    @property
    def objects(self) -> Path:
        """Where the emulator keeps the contents of buckets."""
        return self.state / "objects"

    @property
    def pid_file(self) -> Path:
        return self.state / "emulator.pid"


def load() -> Settings:
    """The settings of this checkout's sandbox; ports are chosen here when none are remembered (see ``remember``)."""
    state = Path(os.environ.get("LOCALGOV_SANDBOX_DIR") or ROOT / ".sandbox").absolute()
    organisation = _read_organisation()
    remembered = _remembered(state)
    ports = remembered or _free_ports()
    port = _number("LOCALGOV_SANDBOX_PORT", ports["port"])
    return Settings(
        root=ROOT,
        state=state,
        region=organisation["region"],
        port=port,
        browser_port=_number("LOCALGOV_SANDBOX_BROWSER_PORT", ports["browser_port"]),
        database_port_base=_number("LOCALGOV_SANDBOX_DATABASE_PORT", ports["database_port_base"]),
        task_network=_network(ports["task_network"]),
        management=organisation["management"],
        unit=organisation["unit"],
        accounts=organisation["accounts"],
        runtime=_runtime(),
    )


def remember(settings: Settings) -> None:
    """Keep the choice of ports for later starts."""
    chosen = {
        "port": settings.port,
        "browser_port": settings.browser_port,
        "database_port_base": settings.database_port_base,
        "task_network": settings.task_network,
    }
    _ports_file(settings.state).write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")


def claim_task_network(settings: Settings) -> socket.socket:
    """Hold the task network for as long as the returned socket is open, so that no other sandbox takes it."""
    claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        claim.bind((f"{settings.task_network}.255.254", _NETWORK_CLAIM_PORT))
        claim.listen(1)
    except OSError as reason:
        claim.close()
        raise SettingsError(
            f"The task network {settings.task_network}.0.0/16 is used by another sandbox. "
            "Set LOCALGOV_SANDBOX_TASK_NETWORK to another, such as 127.99."
        ) from reason
    return claim


def is_free(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection in TIME_WAIT does not count
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _ports_file(state: Path) -> Path:
    return state / "ports.json"


def _remembered(state: Path) -> dict[str, Any] | None:
    path = _ports_file(state)
    if not path.is_file():
        return None
    try:
        remembered = json.loads(path.read_text(encoding="utf-8"))
        return {
            **{name: int(remembered[name]) for name in ("port", "browser_port", "database_port_base")},
            "task_network": str(remembered["task_network"]),
        }
    except (ValueError, KeyError, TypeError) as reason:
        raise SettingsError(f"{path} is damaged. Run `python -m sandbox reset`.") from reason


def _free_ports() -> dict[str, Any]:
    """A block of ports and a task network that nothing uses now."""
    choose = random.SystemRandom()  # two checkouts started at once should not look at the same block first
    for base in choose.sample(_PORT_BLOCKS, len(_PORT_BLOCKS)):
        if all(is_free(port) for port in (base, base + 1, *(base + offset for offset in _DATABASE_PORTS))):
            break
    else:
        raise SettingsError("No free ports between 20000 and 32000. Set LOCALGOV_SANDBOX_PORT and its companions.")
    for octet in choose.sample(_NETWORK_OCTETS, len(_NETWORK_OCTETS)):
        if is_free(_NETWORK_CLAIM_PORT, f"127.{octet}.255.254"):
            break
    else:
        raise SettingsError("No free task network. Set LOCALGOV_SANDBOX_TASK_NETWORK, such as 127.99.")
    return {
        "port": base,
        "browser_port": base + 1,
        "database_port_base": base + _DATABASE_PORTS.start,
        "task_network": f"127.{octet}",
    }


def _number(variable: str, default: int) -> int:
    value = os.environ.get(variable)
    if not value:
        return default
    if not value.isdecimal() or not 1024 <= int(value) <= 65535:
        raise SettingsError(f"{variable} is {value!r}: it must be a port number from 1024 to 65535.")
    return int(value)


def _network(default: str) -> str:
    value = os.environ.get("LOCALGOV_SANDBOX_TASK_NETWORK") or default
    if not re.fullmatch(r"127\.\d{1,3}", value) or not 1 <= int(value[4:]) <= 255:
        raise SettingsError(f"LOCALGOV_SANDBOX_TASK_NETWORK is {value!r}: it must look like 127.99 (not 127.0).")
    return value


def _runtime() -> str:
    value = os.environ.get("LOCALGOV_SANDBOX_RUNTIME") or "processes"
    if value not in ("processes", "off", "docker"):
        raise SettingsError(f"LOCALGOV_SANDBOX_RUNTIME is {value!r}: it must be processes, off or docker.")
    return value


def _read_organisation() -> dict[str, Any]:
    """The accounts of ``organisation.yml``, or of the file that LOCALGOV_SANDBOX_ORGANISATION names."""
    path = Path(os.environ.get("LOCALGOV_SANDBOX_ORGANISATION") or ROOT / "sandbox" / "organisation.yml")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        accounts = [_account(entry) for entry in document["accounts"]]
        management = _account(document["management"])
        organisation = {"region": document["region"], "unit": document["organisational_unit"]}
    except OSError as reason:
        raise SettingsError(f"Cannot read the organisation from {path}: {reason.strerror}.") from reason
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as reason:
        raise SettingsError(f"{path} does not describe an organisation: {reason}.") from reason
    _refuse_doubles(path, [management, *accounts])
    return {**organisation, "management": management, "accounts": {account.name: account for account in accounts}}


def _account(entry: dict[str, Any]) -> Account:
    name, identifier = entry["name"], entry["id"]
    if not isinstance(identifier, str) or not re.fullmatch(r"\d{12}", identifier):
        raise ValueError(f"the id of account {name} must be a quoted string of twelve digits, not {identifier!r}")
    return Account(name, identifier, entry.get("unit"), entry.get("organisation", True))


def _refuse_doubles(path: Path, accounts: list[Account]) -> None:
    for values in ([account.name for account in accounts], [account.id for account in accounts]):
        doubles = sorted({value for value in values if values.count(value) > 1})
        if doubles:
            raise SettingsError(f"{path} names {', '.join(doubles)} more than once.")
