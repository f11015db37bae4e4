# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  arguments of modules are of any type
"""The modules of amazon.aws that the collection builds on work here as on AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sandbox.conftest import CHECKOUT, Sandbox


class Ansible:
    """Ad-hoc module calls as the deploy role of camden."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        described, session = sandbox.description, sandbox.deployer("camden")
        self._folder = folder
        (folder / "none.cfg").touch()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            **{name.upper(): value for name, value in session.items()},
            "ANSIBLE_CONFIG": str(folder / "none.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "AWS_CA_BUNDLE": described["ca_bundle"],
            "AWS_ENDPOINT_URL": described["endpoint_url"],
            "AWS_REGION": described["region"],
        }

    def __call__(self, module: str, **arguments: Any) -> dict[str, Any]:
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible", "localhost", "-m", module, "-a", json.dumps(arguments)],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
        return result


@pytest.fixture
def ansible(sandbox: Sandbox, tmp_path: Path) -> Ansible:
    return Ansible(sandbox, tmp_path)


def test_a_bucket_with_everything_that_protects_it(sandbox: Sandbox, ansible: Ansible, unique: str) -> None:
    key = ansible("amazon.aws.kms_key", alias=unique, enable_key_rotation=True)["key_id"]
    wanted = {
        "name": unique,
        "versioning": True,
        "encryption": "aws:kms",
        "encryption_key_id": key,
        "bucket_key_enabled": True,
        "object_ownership": "BucketOwnerEnforced",
        "public_access": {
            "block_public_acls": True,
            "block_public_policy": True,
            "ignore_public_acls": True,
            "restrict_public_buckets": True,
        },
        "policy": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [f"arn:aws:s3:::{unique}", f"arn:aws:s3:::{unique}/*"],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        },
        "tags": {"owner": "camden"},
    }
    assert ansible("amazon.aws.s3_bucket", **wanted)["changed"] is True
    assert ansible("amazon.aws.s3_bucket", **wanted)["changed"] is False

    s3 = sandbox.client("s3", sandbox.root("camden"))
    assert s3.get_bucket_versioning(Bucket=unique)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=unique)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert all(s3.get_public_access_block(Bucket=unique)["PublicAccessBlockConfiguration"].values())
    s3.put_object(Bucket=unique, Key="a", Body=b"1")
    stored = s3.get_object(Bucket=unique, Key="a")
    assert stored["ServerSideEncryption"] == "aws:kms"
    assert "VersionId" in stored


def test_a_folder_marker_is_put_once_by_what_the_role_says(sandbox: Sandbox, ansible: Ansible, unique: str) -> None:
    tasks = yaml.safe_load((CHECKOUT / "roles/la_services/tasks/buckets.yml").read_text())
    (put,) = (task["amazon.aws.s3_object"] for task in tasks if "amazon.aws.s3_object" in task)
    s3 = sandbox.client("s3", sandbox.root("camden"))
    s3.create_bucket(Bucket=unique, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    marker = {**put, "bucket": unique, "object": "census/"}
    assert ansible("amazon.aws.s3_object", **marker)["changed"] is True
    assert ansible("amazon.aws.s3_object", **marker)["changed"] is False
    assert s3.get_object(Bucket=unique, Key="census/")["ContentLength"] == 0


def test_a_stack_is_planned_made_and_left_alone(ansible: Ansible, unique: str) -> None:
    template = json.dumps({"Resources": {"Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}}}})
    arguments = {"stack_name": unique, "template_body": template}
    assert ansible("amazon.aws.cloudformation", **arguments)["changed"] is True
    assert ansible("amazon.aws.cloudformation", **arguments)["changed"] is False
    assert ansible("amazon.aws.cloudformation", stack_name=unique, state="absent")["changed"] is True
