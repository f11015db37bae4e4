# SPDX-License-Identifier: GPL-3.0-or-later
"""What S3 may answer when log files are asked for. Whole reports: tests/integration/audit."""

from __future__ import annotations

import pytest
from ansible_collections.localgov.platform.plugins.modules import access_log_info

BUCKET, ACCOUNT = "localgov-012345670123-audit", "012345670123"


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [
        ("", "AWSLogs/012345670123/CloudTrail/"),
        ("audit", "audit/AWSLogs/012345670123/CloudTrail/"),
        ("/audit/reads/", "audit/reads/AWSLogs/012345670123/CloudTrail/"),
    ],
)
def test_log_files_lie_where_cloudtrail_puts_them(prefix: str, folder: str) -> None:
    assert access_log_info.folder(prefix, ACCOUNT) == folder


def test_a_missing_bucket_says_that_there_is_no_audit_and_what_to_do() -> None:
    said = access_log_info.refusal(BUCKET, ACCOUNT, "NoSuchBucket")
    assert BUCKET in said
    assert f"account {ACCOUNT} keeps no audit" in said
    assert "localgov.platform.access_audit" in said


def test_any_other_refusal_names_bucket_account_and_what_it_needs() -> None:
    said = access_log_info.refusal(BUCKET, ACCOUNT, "AccessDenied")
    assert said.startswith(f"Cannot read the log files in {BUCKET} of account {ACCOUNT}.")
    assert "s3:ListBucket" in said
    assert "s3:GetObject" in said
