# SPDX-License-Identifier: GPL-3.0-or-later
"""Way C: `python -m tests.benchmark.fleet.command_line create|describe <fleet's folder> <authorities> <stacks.json>`.

One `aws cloudformation deploy` for each stack, one after the other, with the AWS CLI. Where the stacks are to be
created, the outputs of each are asked where a later one needs them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.benchmark.fleet import stacks
from tests.benchmark.fleet.fleet import Fleet
from tests.benchmark.fleet.floor import CAPABILITIES, LARGEST_IN_REQUEST, templates_bucket

_AWS = str(Path(sys.executable).parent / "aws")


def main(verb: str, folder: str, authorities: str, file: str) -> None:
    fleet, act = Fleet(Path(folder), int(authorities)), {"create": _create, "describe": _deploy_all}[verb]
    for account, declared in stacks.read(Path(file)).items():
        act(fleet, account, declared)


def _deploy_all(fleet: Fleet, account: str, declared: list[stacks.Stack]) -> None:
    for stack in declared:
        _deploy(fleet, account, stack)


def _create(fleet: Fleet, account: str, declared: list[stacks.Stack]) -> None:
    values: dict[str, str] = {}
    for position, captured in enumerate(declared):
        _deploy(fleet, account, captured.with_values(values))
        if any(_needs(later, captured) for later in declared[position + 1 :]):
            values |= captured.values_from(_described(account, captured.name))


def _needs(later: stacks.Stack, earlier: stacks.Stack) -> bool:
    texts = [later.template, *later.parameters.values()]
    return any(value and value in text for value in earlier.outputs.values() for text in texts)


def _described(account: str, name: str) -> dict[str, object]:
    command = [_AWS, "cloudformation", "describe-stacks", "--profile", account, "--stack-name", name]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)
    stack: dict[str, object] = found["Stacks"][0]
    return stack


def _deploy(fleet: Fleet, account: str, stack: stacks.Stack) -> None:
    folder = fleet.folder / "templates"
    folder.mkdir(exist_ok=True)
    template = folder / f"{account}-{stack.name}.template"
    template.write_text(stack.template)
    parameters = [f"{key}={value}" for key, value in stack.parameters.items()]
    tags = [f"{key}={value}" for key, value in stack.tags.items()]
    is_large = len(stack.template.encode()) > LARGEST_IN_REQUEST
    command = [
        *(_AWS, "cloudformation", "deploy", "--profile", account, "--stack-name", stack.name),
        *("--template-file", str(template), "--no-fail-on-empty-changeset"),
        *(["--s3-bucket", templates_bucket(fleet.accounts[account])] if is_large else []),
        *("--capabilities", *CAPABILITIES),
        *(["--parameter-overrides", *parameters] if parameters else []),
        *(["--tags", *tags] if tags else []),
    ]
    subprocess.run(command, check=True, timeout=1800)


if __name__ == "__main__":
    main(*sys.argv[1:])
