# SPDX-License-Identifier: GPL-3.0-or-later
"""What each way runs, as a command and its environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.settings import ROOT
from tests.benchmark.fleet import stacks
from tests.benchmark.fleet.fleet import Fleet
from tests.benchmark.fleet.floor import templates_bucket

# The role by which an operator comes into every account, as the sandbox's inventory names it.
_ROLE = "localgov-deploy"
# Beside the others, whose variables it needs.
_STOCK = ROOT / "playbooks" / ".stock.yml"
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Command:
    arguments: list[str]
    environment: dict[str, str]


def ours(fleet: Fleet) -> Command:
    """Way A, with the slowest tasks at the end of what it prints."""
    command = _playbook(fleet, ROOT / "playbooks" / "site.yml")
    profiled = {
        "ANSIBLE_CALLBACKS_ENABLED": "localgov.platform.loaded_once,localgov.platform.rollout_report,"
        "ansible.posix.profile_tasks",
        "PROFILE_TASKS_TASK_OUTPUT_LIMIT": "12",
    }
    return Command(command.arguments, {**command.environment, **profiled})


def stock(fleet: Fleet) -> Command:
    """Way B: every play of `site.yml` with the connection `local` and each account's own session as environment."""
    plays = [_signing_in(fleet), *_with_sessions(ROOT / "playbooks" / "site.yml")]
    _STOCK.write_text(yaml.safe_dump(plays, sort_keys=False, width=1000))
    return _playbook(
        fleet, _STOCK, "-e", "ansible_connection=local", "-e", f"ansible_python_interpreter={sys.executable}"
    )


def command_line(fleet: Fleet, captured: Path, verb: str) -> Command:
    """Way C, with a profile of the AWS CLI for each account; `verb` says whether the stacks are there."""
    config = fleet.folder / "aws-config"
    config.write_text("".join(_profiles(fleet)))
    described = fleet.sandbox
    program = [sys.executable, "-m", "tests.benchmark.fleet.command_line"]
    return Command(
        [*program, verb, str(fleet.folder), str(fleet.authorities), str(captured)],
        {
            **fleet.environment,
            "HOME": str(fleet.state),  # the CLI keeps its sessions there
            "AWS_CONFIG_FILE": str(config),
            "AWS_SHARED_CREDENTIALS_FILE": described["shared_credentials_file"],
            "AWS_ENDPOINT_URL": described["endpoint_url"],
            "AWS_CA_BUNDLE": described["ca_bundle"],
        },
    )


def floor(fleet: Fleet, verb: str, captured: Path) -> Command:
    program = [sys.executable, "-m", "tests.benchmark.fleet.floor", verb]
    return Command([*program, str(fleet.folder), str(fleet.authorities), str(captured)], fleet.environment)


def _playbook(fleet: Fleet, playbook: Path, *arguments: str) -> Command:
    program = [str(_BIN / "ansible-playbook"), "-i", str(fleet.inventory), str(playbook), *arguments]
    return Command(program, fleet.environment)


def _signing_in(fleet: Fleet) -> dict[str, Any]:
    described = fleet.sandbox
    reached = {
        "AWS_ENDPOINT_URL": described["endpoint_url"],
        "AWS_CA_BUNDLE": described["ca_bundle"],
        "AWS_REGION": described["region"],
        "AWS_DEFAULT_REGION": described["region"],
    }
    operator = {
        "AWS_SHARED_CREDENTIALS_FILE": described["shared_credentials_file"],
        "AWS_PROFILE": described["profile"],
    }
    session = {
        "AWS_ACCESS_KEY_ID": "{{ signed_in.sts_creds.access_key }}",
        "AWS_SECRET_ACCESS_KEY": "{{ signed_in.sts_creds.secret_key }}",
        "AWS_SESSION_TOKEN": "{{ signed_in.sts_creds.session_token }}",
    }
    assume = {
        "amazon.aws.sts_assume_role": {
            "role_arn": f"arn:aws:iam::{{{{ ansible_aws_account_id }}}}:role/{_ROLE}",
            "role_session_name": "stock",
        },
        "environment": {**reached, **operator},
        "register": "signed_in",
    }
    keep = {"ansible.builtin.set_fact": {"aws_session": {**reached, **session}}}
    return {"hosts": "organisation:local_authorities", "gather_facts": False, "tasks": [assume, keep]}


def _with_sessions(playbook: Path) -> Iterator[dict[str, Any]]:
    """The plays of a playbook and of those that it imports, each with the session of its account."""
    for play in yaml.safe_load(playbook.read_text()):
        imported = play.get("ansible.builtin.import_playbook")
        if imported:
            yield from _with_sessions(playbook.parent / imported)
        else:
            yield {**play, "environment": "{{ aws_session }}"}


def _profiles(fleet: Fleet) -> Iterator[str]:
    described = fleet.sandbox
    for name, identifier in fleet.accounts.items():
        yield f"[profile {name}]\n"
        yield f"region = {described['region']}\n"
        yield f"role_arn = arn:aws:iam::{identifier}:role/{_ROLE}\n"
        yield f"source_profile = {described['profile']}\n\n"


def prepare(fleet: Fleet, buckets_file: Path) -> None:
    """What the ways C and F find in each account: the buckets, as they outlive stacks, and one for templates."""
    held: dict[str, dict[str, str]] = json.loads(buckets_file.read_text())
    where = {"LocationConstraint": fleet.sandbox["region"]}
    for account, identifier in fleet.accounts.items():
        s3 = stacks.client(fleet, account, "s3")
        for bucket, policy in {templates_bucket(identifier): "", **held[account]}.items():
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
            if policy:
                s3.put_bucket_policy(Bucket=bucket, Policy=policy)


def tidy() -> None:
    _STOCK.unlink(missing_ok=True)
