# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployed organisation as its principals see it: sessions, buckets, frontends."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import yaml
from botocore.exceptions import ClientError

from sandbox import people, sessions
from sandbox.journey.person import JourneyError, answers, sign_in, wait_for
from sandbox.settings import ROOT, Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOCAL_AUTHORITIES = ("camden", "croydon", "sutton")
ORGANISATION = "hub"
PREFIX = "localgov"


@dataclass(frozen=True)
class Principal:
    """A role of an account, whose own session is used."""

    account: str
    role: str

    def __str__(self) -> str:
        return f"{self.account}/{self.role}"


# The role whose session the organisation's pipeline reads with.
READER = Principal(ORGANISATION, f"{PREFIX}-run-task")
# The organisation's code server reads what the runs have gathered, to see what is missing.
GATHERER = Principal(ORGANISATION, f"{PREFIX}-code-server-task")
# The profile under which the organisation compares its authorities.
PROFILE = "regional"


@dataclass(frozen=True)
class SharedFile:
    bucket: str
    key: str


def shared_file(report: dict[str, Any], form: str = "csv") -> SharedFile:
    """The one file of a report of one table that is shared with the organisation."""
    (part,) = (part for part in report["shared"] if part["profile"] == PROFILE)
    return SharedFile(part["bucket"], part["tables"][report["table"]][form]["key"])


def deployed_frontend_port() -> int:
    """The port that the role's declaration gives the frontend."""
    defaults = yaml.safe_load((ROOT / "roles/la_services/defaults/main.yml").read_text())
    port: int = defaults["la_services_services"]["frontend"]["port"]
    return port


class Organisation:
    """The accounts of a running sandbox, reached with their principals' own sessions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sandbox: dict[str, Any] = {"endpoint_url": settings.endpoint_url, "verify": str(settings.ca_bundle)}
        self._sessions: dict[Principal, boto3.Session] = {}

    def account_id(self, account: str) -> str:
        return self._settings.accounts[account].id

    def bucket(self, account: str, kind: str) -> str:
        """`kind` is data-store, workspace or shared."""
        return f"{PREFIX}-{self.account_id(account)}-{kind}"

    def s3(self, principal: Principal) -> S3Client:
        """A client with the principal's own session."""
        if principal not in self._sessions:
            arn = f"arn:aws:iam::{self.account_id(principal.account)}:role/{principal.role}"
            self._sessions[principal] = sessions.of_task_role(self._settings, arn)
        client: S3Client = sessions.client(self._sessions[principal], "s3", **self._sandbox)
        return client

    def keys(self, principal: Principal, bucket: str, prefix: str = "") -> list[str]:
        """Keys below the prefix, as the principal may list them."""
        pages = self.s3(principal).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, principal: Principal, bucket: str, key: str) -> bytes:
        body: bytes = self.s3(principal).get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def refusal(self, principal: Principal, action: str, **request: str) -> str | None:
        """AWS's reason why the principal may not, or None if it may. `action` is an S3 client's method."""
        try:
            getattr(self.s3(principal), action)(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("AccessDenied", "403"):
                return str(error)
            raise
        return None

    def report(self, account: str, results_prefix: str) -> dict[str, Any]:
        """The pipeline's report of a submission, read as the account's frontend reads it."""
        frontend = Principal(account, f"{PREFIX}-frontend-task")
        found = self.read(frontend, self.bucket(account, "data-store"), f"{results_prefix}report.json")
        report: dict[str, Any] = json.loads(found)
        return report

    def regional(self, dataset: str, year: int, table: str) -> list[dict[str, str]]:
        """The rows that the organisation has gathered from the authorities; none while it has not."""
        bucket, key = self.bucket(ORGANISATION, "data-store"), f"regional/{dataset}/{PROFILE}/{year}/{table}.csv"
        if key not in self.keys(GATHERER, bucket, "regional/"):
            return []
        return list(csv.DictReader(io.StringIO(self.read(GATHERER, bucket, key).decode())))

    def frontend(self, account: str, seconds: float = 120) -> str:
        """The address of the account's frontend, once it answers, with the account's uploader signed in there."""
        ecs = sessions.client_of_root(self._settings, account, "ecs")

        def address() -> str | None:
            tasks = ecs.list_tasks(cluster=PREFIX, serviceName="frontend")["taskArns"]
            described = ecs.describe_tasks(cluster=PREFIX, tasks=tasks)["tasks"] if tasks else []
            details = [detail for task in described for part in task["attachments"] for detail in part["details"]]
            hosts = [detail["value"] for detail in details if detail["name"] == "privateIPv4Address"]
            urls = [f"http://{host}:{deployed_frontend_port()}" for host in hosts]
            return next(filter(answers, urls), None)

        found = wait_for(address, f"the frontend of {account} to answer", seconds)
        if people.admit(self._settings, account):
            sign_in(found, people.find(self._settings, account))
        return found


def running(settings: Settings) -> Organisation:
    """The organisation of this checkout's sandbox."""
    if not settings.description.exists():
        raise JourneyError("The sandbox is not running: start it with `make sandbox`.")
    return Organisation(settings)
