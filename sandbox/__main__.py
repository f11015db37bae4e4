# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m sandbox start | stop | status | reset``: the sandbox of this checkout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from sandbox import lifecycle, people
from sandbox.settings import Settings, SettingsError, load

UP, FAILED, DOWN = 0, 1, 3


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="An organisation of AWS accounts, here.")
    commands: dict[str, tuple[Callable[[Settings], int], str]] = {
        "start": (_start, "start it, or do nothing when it runs"),
        "stop": (_stop, "stop it and keep what it holds"),
        "status": (_status, "say what runs; exit code 0 when up, 3 when down"),
        "reset": (_reset, "stop it and forget everything it holds"),
    }
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (_, explanation) in commands.items():
        subparsers.add_parser(name, help=explanation)
    command = commands[parser.parse_args(arguments).command][0]
    try:
        return command(load())
    except (SettingsError, lifecycle.SandboxError) as reason:
        print(f"sandbox: {reason}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("sandbox: interrupted", file=sys.stderr)
        return FAILED


def _start(settings: Settings) -> int:
    started = lifecycle.start(settings)
    for line in started.lost:
        print(line)
    if started.was_running:
        print("The sandbox is already running.")
    else:
        print(f"The sandbox is running (started in {started.seconds:.1f} s).")
    _print_description(settings)
    print("Next: ansible-playbook -i inventories/sandbox playbooks/site.yml")
    return UP


def _stop(settings: Settings) -> int:
    if lifecycle.stop(settings):
        print(f"The sandbox has stopped. What it holds is kept in {settings.state}.")
    else:
        print("The sandbox is not running.")
    return UP


def _reset(settings: Settings) -> int:
    lifecycle.reset(settings)
    print("The sandbox is empty. The next start begins afresh.")
    return UP


def _status(settings: Settings) -> int:
    status = lifecycle.status(settings)
    if status.pid is None:
        print("The sandbox is not running. Start it with `python -m sandbox start`.")
        return DOWN
    memory = f"{status.memory / 2**20:.0f} MiB" if status.memory else "unknown"
    print(f"The sandbox is {'running' if status.healthy else 'started but does not answer'}.")
    print(f"  process   {status.pid}, memory {memory}")
    _print_description(settings)
    return UP if status.healthy else DOWN


def _print_description(settings: Settings) -> None:
    described: dict[str, Any] = json.loads(settings.description.read_text(encoding="utf-8"))
    accounts = [f"{name} {account['id']}" for name, account in described["accounts"].items()]
    shown = accounts if len(accounts) <= 10 else [*accounts[:10], f"and {len(accounts) - 10} more"]
    print(f"  programs  {described['endpoint_url']}   (AWS_CA_BUNDLE={described['ca_bundle']})")
    print(f"  browsers  {described['browser_endpoint_url']}")
    print(f"  databases 127.0.0.1, ports from {settings.database_port_base}")
    print(f"  tasks     {described['task_network']}")
    print(f"  identity  profile {described['profile']} in {described['shared_credentials_file']}")
    print(f"  people    {people.file_of(settings)}")
    print(f"  accounts  {', '.join(shown)}")
    print(f"  log       {settings.log}")


if __name__ == "__main__":
    sys.exit(main())
