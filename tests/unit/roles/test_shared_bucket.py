# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role says it has proved, from what the policies were seen to be; and what it writes into them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import Resource, resource_of
from ansible_collections.localgov.platform.plugins.module_utils._policy_trust import Trust, wanted_statements

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "shared_bucket"
OWNER = "012345670123"
SEEN, UNSEEN = (f"arn:aws:kms:eu-west-2:{OWNER}:key/{name}" for name in ("k0", "k1"))


def grant(sid: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - a statement's elements
    return {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:GetObject", **more}


def for_bucket(name: str, sid: str) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{name}"
    only = {"StringLike": {"kms:EncryptionContext:aws:s3:arn": [arn, f"{arn}/*"]}}
    return grant(sid, Action="kms:Decrypt", Resource="*", Condition=only)


def key(*statements: dict[str, Any]) -> dict[str, Any]:
    """Open by the first of its *statements*; the others are not this share's."""
    return {"resource": SEEN, "policy": {"Statement": list(statements)}, "statements": list(statements[:1])}


OWN = for_bucket("shared", "OrganisationPipelineForabcDecrypt")
OTHER = for_bucket("other", "OrganisationPipelineForabdDecrypt")
READ = grant("OrganisationPipelineRead")


def play(name: str, key_of_bucket: dict[str, Any], unseen: list[str]) -> dict[str, Any]:
    """Writes down what is said of a bucket that is shared with one role."""
    policy = {"Statement": [READ]}
    listers = {"policy": policy, "statements": [], "encryption_keys": [], "unseen_keys": unseen}
    tasks = yaml.safe_load((ROLE / "tasks" / "prove.yml").read_text())
    (expected,) = [task for task in tasks if "ansible.builtin.assert" in task]
    said = expected["ansible.builtin.assert"]["success_msg"]
    return {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "vars": {
            "ansible_python_interpreter": sys.executable,
            "shared_bucket_name": "shared",
            "shared_bucket_share": "granted",
            "__shared_bucket_owner": {"account": OWNER},
            "__shared_bucket_readers": {**listers, "statements": [READ], "encryption_keys": [key_of_bucket]},
            "__shared_bucket_listers": listers,
        },
        "tasks": [
            {"ansible.builtin.copy": {"content": said, "dest": f"{{{{ playbook_dir }}}}/{name}", "mode": "0600"}}
        ],
    }


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("proof")
    plays = [
        play("all keys seen", key(OWN), []),
        play("a key unseen", key(OWN), [UNSEEN]),
        play("two buckets", key(OWN, OTHER), []),
    ]
    (folder / "playbook.yml").write_text(yaml.safe_dump(plays))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", "playbook.yml"],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {file.name: file.read_text() for file in folder.iterdir()}


def share(bucket: Resource, sid: str, access: str, role: str, **limits: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    trust = Trust(
        sid,
        access,
        organisation_id="o-a1b2c3d4e5",
        organisational_unit_paths=("o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*",),
        role_arns=(f"arn:aws:iam::200000000001:role/localgov-{role}-task",),
        **limits,
    )
    return wanted_statements(trust, bucket)


@pytest.mark.parametrize(
    ("name", "limits"),
    [("granted", {}), ("limited", {"prefixes": ("ssda903",), "expires": "2999-03-31"}), ("revoked", None)],
)
def test_the_frontend_is_tested_with_policies_as_this_role_writes_them(
    name: str, limits: dict[str, Any] | None
) -> None:
    kept = json.loads((ROOT / "files/frontend/tests/shared_bucket_policies.json").read_text())[name]
    refused, *granted = kept["Statement"]
    bucket = resource_of("localgov-210987654321-shared", "s3_bucket", "210987654321", "eu-west-2", "aws")
    tasks = yaml.safe_load((ROLE / "tasks" / "share.yml").read_text())
    asked = [task["localgov.platform.cross_account_trust"] for task in tasks]
    wanted = [
        statement
        for task, role in zip(asked, ("run", "code-server"), strict=True)
        for statement in share(bucket, task["sid"], task["access"], role, **(limits or {}))
    ]
    assert granted == ([] if limits is None else wanted)
    own = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__shared_bucket_deny_insecure_transport"]
    assert refused == json.loads(json.dumps(own).replace("{{ __shared_bucket_arn }}", bucket.arn))


def test_keys_that_were_looked_at_are_part_of_the_proof(said: dict[str, str]) -> None:
    assert "in the policy of shared and of its keys let anybody in" in said["all keys seen"]
    assert "not looked at" not in said["all keys seen"]


def test_a_key_that_was_not_looked_at_is_named_and_nothing_is_said_of_keys(said: dict[str, str]) -> None:
    assert "of its keys" not in said["a key unseen"]
    assert f"Keys not looked at: {UNSEEN}." in said["a key unseen"]


def test_what_a_key_opens_of_another_bucket_is_not_a_matter_of_this_one(said: dict[str, str]) -> None:
    assert said["two buckets"] == said["all keys seen"]
