# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads of an account's pipeline and their reports, as far as the deploy role sees them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ansible_collections.localgov.platform.plugins.module_utils._access_calls import NotYetError, attempt, until

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

_REPORT = "/report.json"


class Upload(NamedTuple):
    key: str
    version: str

    @property
    def submission(self) -> str:
        return self.key.rpartition("/")[2].partition(".")[0]


class Submissions:
    """Of one account: where uploads and reports lie."""

    def __init__(self, s3: Client, data_store: str) -> None:
        self.s3, self.data_store = s3, data_store

    def latest(self, prefix: str) -> dict[str, str]:
        """Keys of the objects that are there, with the version that is the latest."""
        with attempt(f"list {prefix} in {self.data_store}", permission="s3:ListBucketVersions on the bucket"):
            pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.data_store, Prefix=prefix)
            entries = [entry for page in pages for entry in page.get("Versions", [])]
        return {entry["Key"]: entry["VersionId"] for entry in entries if entry["IsLatest"]}

    def reports(self, scope: str) -> dict[str, str]:
        """Submissions with the version of their report."""
        found = self.latest(f"results/{scope}")
        return {key.split("/")[-2]: version for key, version in found.items() if key.endswith(_REPORT)}

    def report(self, scope: str, submission: str) -> dict[str, Any]:
        key = f"results/{scope}{submission}{_REPORT}"
        with attempt(f"read {key} in {self.data_store}", permission="s3:GetObject on results/*/report.json"):
            body = self.s3.get_object(aws_retry=True, Bucket=self.data_store, Key=key)["Body"].read()
        report: dict[str, Any] = json.loads(body)
        return report


def wait_for_reports(
    submissions: Submissions, scope: str, before: dict[str, str], names: list[str], seconds: int
) -> set[str]:
    """The submissions that have another report than before, once all have one or the time is over."""
    finished: set[str] = set()

    def look() -> None:
        now = submissions.reports(scope)
        finished.update(name for name in names if now.get(name) not in (None, before.get(name)))
        if len(finished) < len(names):
            raise NotYetError

    until(look, seconds)
    return finished
