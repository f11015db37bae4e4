# SPDX-License-Identifier: GPL-3.0-or-later
"""A local authority's account in the emulator: the data store, the frontend's role, and the pipeline's side of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CORSRuleTypeDef, TagTypeDef

REGION: Final = "eu-west-2"
ACCOUNT_ID = "210987654321"
BUCKET = f"localgov-{ACCOUNT_ID}-data-store"
SHARED = f"localgov-{ACCOUNT_ID}-shared"
ORGANISATION_ACCOUNT_ID = "200000000001"
# What the role shared_bucket writes, by what the authority has decided. The role's own tests hold it to that.
POLICIES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "shared_bucket_policies.json").read_text())
_ROLE = "localgov-frontend-task"


def task_policy(*left_out: str) -> dict[str, Any]:
    """What the README says that the role needs, less the actions left out."""
    bucket = f"arn:aws:s3:::{BUCKET}"
    statements: list[dict[str, Any]] = [
        {"Action": "s3:PutObject", "Resource": [f"{bucket}/uploads/*", f"{bucket}/withdrawals/*"]},
        {"Action": "s3:ListMultipartUploadParts", "Resource": f"{bucket}/uploads/*"},
        {"Action": "s3:AbortMultipartUpload", "Resource": f"{bucket}/uploads/*"},
        {"Action": "s3:GetObject", "Resource": f"{bucket}/results/*"},
        {
            "Action": "s3:ListBucket",
            "Resource": bucket,
            "Condition": {"StringLike": {"s3:prefix": ["results/*", "withdrawals/*"]}},
        },
        *(
            {"Action": action, "Resource": f"arn:aws:s3:::{SHARED}"}
            for action in ("s3:GetBucketPolicy", "s3:GetBucketTagging")
        ),
    ]
    kept = [{"Effect": "Allow", **statement} for statement in statements if statement["Action"] not in left_out]
    return {"Version": "2012-10-17", "Statement": kept}


@dataclass(frozen=True)
class Account:
    endpoint: str

    @cached_property
    def _session(self) -> boto3.Session:
        # In the emulator twelve digits are the access key of that account's root.
        return boto3.Session(ACCOUNT_ID, "test", region_name=REGION)

    @cached_property
    def s3(self) -> S3Client:
        return self._session.client("s3", endpoint_url=self.endpoint)

    @cached_property
    def _iam(self) -> Any:  # noqa: ANN401 - its types are in a package that nothing else here needs
        return self._session.client("iam", endpoint_url=self.endpoint)

    @cached_property
    def _sts(self) -> Any:  # noqa: ANN401
        return self._session.client("sts", endpoint_url=self.endpoint)

    def create(self) -> None:
        for bucket in (BUCKET, SHARED):
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        trust = {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
        }
        self._iam.create_role(
            RoleName=_ROLE,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )
        self.permit()

    def permit(self, *left_out: str) -> None:
        """Give the role what it needs, or all but the actions left out."""
        policy = task_policy(*left_out)
        if policy["Statement"]:
            self._iam.put_role_policy(RoleName=_ROLE, PolicyName="data-store", PolicyDocument=json.dumps(policy))
        else:
            self._iam.delete_role_policy(RoleName=_ROLE, PolicyName="data-store")

    def share(self, policy: dict[str, Any], **tags: str) -> None:
        """As the role shared_bucket does; tags are the authority's own decision. The emulator speaks plain HTTP."""
        kept = [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]
        if kept:
            self.s3.put_bucket_policy(Bucket=SHARED, Policy=json.dumps({**policy, "Statement": kept}))
        else:
            self.s3.delete_bucket_policy(Bucket=SHARED)
        tagging: list[TagTypeDef] = [{"Key": name.replace("_", "-"), "Value": value} for name, value in tags.items()]
        self.s3.delete_bucket_tagging(Bucket=SHARED)
        if tagging:
            self.s3.put_bucket_tagging(Bucket=SHARED, Tagging={"TagSet": tagging})

    def allow_origins(self, *origins: str) -> None:
        rule: CORSRuleTypeDef = {
            "AllowedHeaders": ["x-amz-checksum-sha256"],
            "AllowedMethods": ["POST", "PUT"],
            "AllowedOrigins": list(origins),
            "MaxAgeSeconds": 3600,
        }
        self.s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]})

    def task_credentials(self) -> dict[str, str]:
        answer = self._sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/{_ROLE}", RoleSessionName="task")[
            "Credentials"
        ]
        return {
            "AWS_ACCESS_KEY_ID": answer["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": answer["SecretAccessKey"],
            "AWS_SESSION_TOKEN": answer["SessionToken"],
        }

    def task_client(self) -> S3Client:
        task = self.task_credentials()
        return boto3.client(
            "s3",
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=task["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=task["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=task["AWS_SESSION_TOKEN"],
        )

    def uploads(self) -> dict[str, bytes]:
        listing = self.s3.list_objects_v2(Bucket=BUCKET, Prefix="uploads/").get("Contents", [])
        return {entry["Key"]: self._read(entry["Key"]) for entry in listing}

    def _read(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def write_result(self, submission: str, name: str, body: bytes) -> None:
        """As the pipeline does; `submission` is dataset/year/identifier."""
        self.s3.put_object(Bucket=BUCKET, Key=f"results/{submission}/{name}", Body=body)

    def write_report(self, submission: str, **changes: object) -> None:
        self.write_result(submission, "report.json", json.dumps(report(submission, **changes)).encode())

    def write_index(self, *reports: dict[str, Any], current: dict[str, str] | None = None) -> None:
        """As the pipeline does once it has decided; `current` is table to identifier."""
        known = {entry["submission"]: {"etag": "", "report": entry} for entry in reports}
        body = json.dumps({"current": current or {}, "reports": known}).encode()
        self.s3.put_object(Bucket=BUCKET, Key="results/ssda903/2026/index.json", Body=body)

    def accept(self, submission: str, **changes: object) -> None:
        """A report, and that what is current has been decided by it alone."""
        written = report(submission, **changes)
        self.write_result(submission, "report.json", json.dumps(written).encode())
        self.write_index(written, current={"header": submission.rpartition("/")[2]})

    def supersede(self, older: str, newer: str) -> None:
        """Two accepted submissions of the same table."""
        reports = []
        for day, submission in enumerate((older, newer), start=20):
            reports.append(report(submission, uploaded_at=f"2026-11-{day}T10:15:00Z"))
            self.write_result(submission, "report.json", json.dumps(reports[-1]).encode())
        self.write_index(*reports, current={"header": newer.rpartition("/")[2]})

    def tell_progress(self, submission: str, *stages: str) -> None:
        for stage in stages:
            self.write_result(submission, f"done/{stage}", b"")

    def withdrawal(self, submission: str) -> dict[str, str]:
        """What was asked for, as it is on record."""
        found: dict[str, str] = json.loads(self._read(f"withdrawals/{submission}.json"))
        return found

    def withdrawals(self) -> list[str]:
        listing = self.s3.list_objects_v2(Bucket=BUCKET, Prefix="withdrawals/").get("Contents", [])
        return [entry["Key"] for entry in listing]

    def empty(self) -> None:
        for entry in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            self.s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
        for upload in self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
            self.s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


def group(reason: str, *rows: int, count: int = 1, column: str | None = None, rule: str = "file") -> dict[str, Any]:
    """Of errors by rule."""
    said = {"rule": rule, "column": column, "table": "header" if column else None, "reason": reason}
    return {**said, "count": count, "rows": list(rows)}


_NOT_A_DATE = group("Not a date. Write it as DD/MM/YYYY.", 2, column="DOB", rule="date")
_ONE_HEADER = {
    "name": "one_header_per_child",
    "title": "A child is in the header once.",
    "severity": "error",
    "made": True,
    "passed": True,
    "findings": 0,
    "shown": [],
}


def report(submission: str, **changes: object) -> dict[str, Any]:
    """An accepted file with one blanked cell, in the shape that the pipeline writes."""
    dataset, year, identifier = submission.split("/")
    rows = {"read": 3, "written": 3, "shared": 3}
    columns = ["CHILD", "SEX", "DOB", "MOTHER"]
    return {
        "submission": identifier,
        "dataset": dataset,
        "year": int(year),
        "table": "header",
        "state": "accepted",
        "version_id": "null",
        "uploaded_at": "2026-07-21T09:15:02Z",
        "finished_at": "2026-07-21T09:15:31Z",
        "rows": rows,
        "tables": {"header": {"rows": rows}},
        "errors": {"total": 1, "by_rule": [_NOT_A_DATE], "shown": []},
        "notices": [],
        "checks": [_ONE_HEADER],
        "shared": [
            {
                "profile": "regional",
                "bucket": SHARED,
                "manifest": f"{dataset}/regional/{year}/manifest.json",
                "tables": {"header": {"rows": 3, "columns": columns, "notes": []}},
            }
        ],
        **changes,
    }


def rejection(*reasons: str) -> dict[str, object]:
    """The changes that make an accepted report a rejected one."""
    groups = [group(reason) for reason in reasons]
    return {
        "state": "rejected",
        "table": None,
        "rows": {"read": 0, "written": 0, "shared": 0},
        "tables": {},
        "errors": {"total": len(groups), "by_rule": groups, "shown": []},
        "checks": [],
        "shared": [],
    }
