# SPDX-License-Identifier: GPL-3.0-or-later
"""How the waiting for a receipt ends when none comes. The rest is shown on a sandbox: tests/integration/users."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from ansible_collections.localgov.platform.plugins.modules import efs_staging as module
from botocore.stub import Stubber

RESULT = {
    "changed": True,
    "receipt_key": "receipts/alice/one.jsonl.json",
    "upload": {"bucket": "uploads", "key": "uploads/alice/one.jsonl", "version": "v1"},
}


class FailedError(Exception):
    pass


class Module:
    """What of Ansible's module is used here."""

    params: dict[str, Any] = {"timeout": 2}  # noqa: RUF012

    def fail_json(self, msg: str, **_: object) -> None:
        raise FailedError(msg)


@pytest.mark.parametrize(
    ("status", "when"),
    [
        (404, "after 2 seconds. The workflow goes on"),
        (400, "at the end of this task's session, which cannot be renewed within the task. The workflow goes on"),
    ],
)
def test_who_waits_in_vain_is_told_what_ended_the_waiting(status: int, when: str) -> None:
    connect: Any = boto3.client
    s3 = connect("s3", region_name="eu-west-2", aws_access_key_id="made-up-id", aws_secret_access_key="made-up-secret")
    with Stubber(s3) as stubber:
        stubber.add_client_error("head_object", str(status), http_status_code=status)
        with pytest.raises(FailedError, match=when):
            module.follow(Module(), s3, "receipts", RESULT)
