# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""A trail in a stack, which requests it records, and that its log files outlast a restart."""

from __future__ import annotations

import copy
import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError, WaiterError

from tests.sandbox.conftest import Sandbox, policy

REGION = {"LocationConstraint": "eu-west-2"}
EVERYTHING = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
_SECONDS = 20


@dataclass
class Audit:
    """A bucket of camden, a trail of what is asked of it, and the bucket of its log files."""

    sandbox: Sandbox
    name: str
    seen: set[str] = field(default_factory=set)
    read: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by log file, which never changes

    @cached_property
    def s3(self) -> Any:
        return self.sandbox.client("s3", self.sandbox.root("camden"))

    @cached_property
    def stacks(self) -> Any:
        return self.sandbox.client("cloudformation", self.sandbox.root("camden"))

    @cached_property
    def trails(self) -> Any:
        return self.sandbox.client("cloudtrail", self.sandbox.root("camden"))

    @property
    def shared(self) -> str:
        return f"{self.name}-shared"

    @property
    def logs(self) -> str:
        return f"{self.name}-logs"

    def template(self, *fields: dict[str, Any]) -> dict[str, Any]:
        """A stack with the trail, which asks for what fits *fields*."""
        return {"Resources": {"Trail": self.trail(self.name, *fields)}}

    def trail(self, name: str, *fields: dict[str, Any], **more: Any) -> dict[str, Any]:
        always = [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": [_OBJECT]},
            {"Field": "resources.ARN", "StartsWith": [f"arn:aws:s3:::{self.shared}/"]},
        ]
        properties = {
            "TrailName": name,
            "S3BucketName": self.logs,
            "IsLogging": True,
            "EnableLogFileValidation": True,
            "AdvancedEventSelectors": [{"Name": "some", "FieldSelectors": [*always, *fields]}],
            "Tags": [{"Key": "purpose", "Value": "test"}],
        }
        return {"Type": "AWS::CloudTrail::Trail", "Properties": {**properties, **more}}

    def deploy(self, template: dict[str, Any] | None = None, *, kind: str = "create") -> None:
        body = json.dumps(template or self.template(READS))
        getattr(self.stacks, f"{kind}_stack")(StackName=self.name, TemplateBody=body)
        self.stacks.get_waiter(f"stack_{kind}_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": _SECONDS}
        )

    def files(self) -> list[dict[str, Any]]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.logs)
        return [entry for page in pages for entry in page.get("Contents", [])]

    def records(self, until: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """All records, as soon as they are what is waited for."""
        limit = time.monotonic() + _SECONDS
        while True:
            for key in {file["Key"] for file in self.files()} - set(self.read):
                body = self.s3.get_object(Bucket=self.logs, Key=key)["Body"].read()
                self.read[key] = json.loads(gzip.decompress(body))["Records"]
            found = [record for of_file in self.read.values() for record in of_file]
            if until(found):
                return found
            assert time.monotonic() < limit, [record["eventName"] for record in found]
            time.sleep(0.2)

    def new(self) -> list[dict[str, Any]]:
        """The records of what was asked since this was last called; a request of our own comes after them."""
        key = f"mark-{time.monotonic_ns()}"
        self.s3.put_object(Bucket=self.shared, Key=key, Body=b"")
        self.s3.get_object(Bucket=self.shared, Key=key)["Body"].read()
        found = self.records(lambda records: any(_key(record) == key for record in records))
        fresh = [record for record in found if record["eventID"] not in self.seen]
        self.seen |= {record["eventID"] for record in found}
        return [record for record in fresh if not _key(record).startswith("mark-")]


_OBJECT = "AWS::S3::Object"


def _key(record: dict[str, Any]) -> str:
    return str(record["requestParameters"].get("key", ""))


def code(call: Callable[..., Any], **arguments: Any) -> str:
    try:
        call(**arguments)
    except ClientError as refusal:
        return str(refusal.response["Error"]["Code"])
    return "OK"


def log_policy(audit: Audit, *trails: str) -> str:
    """What lets these trails, by default the audit's own, deliver log files."""
    prefix = f"arn:aws:cloudtrail:eu-west-2:{audit.sandbox.account('camden')}:trail/"
    only_these = {"StringEquals": {"aws:SourceArn": [prefix + trail for trail in trails or [audit.name]]}}
    service = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Condition": only_these}
    return policy(
        {**service, "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{audit.logs}"},
        {**service, "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{audit.logs}/*AWSLogs/*"},
    )


def make(sandbox: Sandbox, name: str) -> Audit:
    audit = Audit(sandbox, name)
    for bucket in (audit.shared, audit.logs):
        lock = {"ObjectLockEnabledForBucket": True} if bucket == audit.logs else {}
        audit.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=REGION, **lock)
    audit.s3.put_object_lock_configuration(
        Bucket=audit.logs,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 400}},
        },
    )
    audit.s3.put_bucket_policy(Bucket=audit.logs, Policy=log_policy(audit))
    member = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{audit.shared}", f"arn:aws:s3:::{audit.shared}/*"],
        "Condition": {
            "StringEquals": {"aws:PrincipalOrgID": sandbox.description["organisation_id"]},
            "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/localgov-reader"},
        },
    }
    audit.s3.put_bucket_policy(Bucket=audit.shared, Policy=policy(member))
    audit.s3.put_object(Bucket=audit.shared, Key="a/table.csv", Body=b"a,b\n")
    return audit


READS = {"Field": "eventName", "Equals": ["GetObject"]}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One of our own: it is restarted."""
    own = Sandbox(tmp_path_factory.mktemp("audit") / "state")
    own.start()
    yield own
    own.run("stop")


@pytest.fixture(scope="module")
def audit(sandbox: Sandbox) -> Audit:
    """A trail of reads."""
    made = make(sandbox, "localgov-audit-test")
    made.deploy()
    return made


def test_a_read_from_another_account_is_recorded_as_aws_documents_it(sandbox: Sandbox, audit: Audit) -> None:
    audit.new()
    reader = sandbox.role("hub", "localgov-reader", EVERYTHING)
    sandbox.client("s3", reader).get_object(Bucket=audit.shared, Key="a/table.csv")["Body"].read()
    (record,) = audit.new()
    hub, camden = sandbox.account("hub"), sandbox.account("camden")
    identity = record["userIdentity"]
    assert identity["type"] == "AssumedRole"
    assert identity["arn"] == f"arn:aws:sts::{hub}:assumed-role/localgov-reader/test"
    assert identity["accountId"] == hub
    assert identity["sessionContext"]["sessionIssuer"]["arn"] == f"arn:aws:iam::{hub}:role/localgov-reader"
    assert identity["principalId"] == identity["sessionContext"]["sessionIssuer"]["principalId"] + ":test"
    assert (record["eventSource"], record["eventName"], record["readOnly"]) == ("s3.amazonaws.com", "GetObject", True)
    assert record["requestParameters"]["bucketName"] == audit.shared
    assert record["requestParameters"]["key"] == "a/table.csv"
    assert record["additionalEventData"]["bytesTransferredOut"] == len(b"a,b\n")
    assert record["resources"] == [
        {"type": _OBJECT, "ARN": f"arn:aws:s3:::{audit.shared}/a/table.csv"},
        {"accountId": camden, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{audit.shared}"},
    ]
    assert (record["recipientAccountId"], record["eventCategory"], record["awsRegion"]) == (camden, "Data", "eu-west-2")
    assert record["sharedEventID"]
    assert "errorCode" not in record


def test_log_files_have_the_names_that_cloudtrail_gives(sandbox: Sandbox, audit: Audit) -> None:
    audit.new()
    camden, today = sandbox.account("camden"), time.strftime("%Y/%m/%d", time.gmtime())
    for file in audit.files():
        folder, _, name = file["Key"].rpartition("/")
        assert folder == f"AWSLogs/{camden}/CloudTrail/eu-west-2/{today}"
        assert name.startswith(f"{camden}_CloudTrail_eu-west-2_{today.replace('/', '')}T")
        assert name.endswith(".json.gz")


def test_a_record_holds_no_secret(sandbox: Sandbox, audit: Audit) -> None:
    audit.new()
    session = sandbox.role("hub", "localgov-reader", EVERYTHING)
    client = sandbox.client("s3", session)
    where = {"Bucket": audit.shared, "Key": "a/table.csv"}
    url = client.generate_presigned_url("get_object", Params=where)
    assert requests.get(url, verify=sandbox.description["ca_bundle"], timeout=_SECONDS).ok
    (record,) = audit.new()
    assert record["userIdentity"]["accountId"] == sandbox.account("hub")
    text = json.dumps(record)
    assert session["aws_session_token"] not in text
    assert session["aws_secret_access_key"] not in text
    assert "Signature" not in text


def test_only_what_a_selector_asks_for_is_recorded(audit: Audit, unique: str) -> None:
    audit.s3.create_bucket(Bucket=unique, CreateBucketConfiguration=REGION)
    audit.new()
    audit.s3.put_object(Bucket=audit.shared, Key="b/new.csv", Body=b"")
    audit.s3.list_objects_v2(Bucket=audit.shared)
    audit.s3.head_object(Bucket=audit.shared, Key="a/table.csv")
    audit.s3.get_object_tagging(Bucket=audit.shared, Key="a/table.csv")
    audit.s3.get_bucket_policy(Bucket=audit.shared)
    audit.s3.put_object(Bucket=unique, Key="elsewhere", Body=b"")
    audit.s3.get_object(Bucket=unique, Key="elsewhere")["Body"].read()
    assert audit.new() == []


# Names of trails, and what each asks for and so records.
SELECTED: dict[str, tuple[list[dict[str, Any]], set[str]]] = {
    "all": ([], {"CopyObject", "DeleteObject", "GetObject", "HeadObject", "ListObjects", "PutObject"}),
    "reading": ([{"Field": "readOnly", "Equals": ["true"]}], {"GetObject", "HeadObject", "ListObjects"}),
    "changing": (
        [{"Field": "readOnly", "Equals": ["false"]}, {"Field": "eventName", "NotStartsWith": ["Put"]}],
        {"CopyObject", "DeleteObject"},
    ),
    "some": (
        [{"Field": "eventName", "EndsWith": ["Object"], "NotEquals": ["GetObject", "PutObject"]}],
        {"CopyObject", "DeleteObject", "HeadObject"},
    ),
    "other-names": ([{"Field": "resources.ARN", "EndsWith": [".txt"]}], set()),
    "unknowable": ([{"Field": "userIdentity.arn", "Equals": ["anybody"]}], set()),
}


def test_selectors_combine_as_cloudtrail_combines_them(sandbox: Sandbox, unique: str) -> None:
    audit = make(sandbox, unique)
    names = {name: f"{unique}-{name}" for name in SELECTED}
    audit.s3.put_bucket_policy(Bucket=audit.logs, Policy=log_policy(audit, *names.values()))
    trails = {
        name.title().replace("-", ""): audit.trail(names[name], *fields, S3KeyPrefix=name)
        for name, (fields, _recorded) in SELECTED.items()
    }
    audit.deploy({"Resources": trails})
    where = {"Bucket": audit.shared, "Key": "a/table.csv"}
    audit.s3.get_object(**where)["Body"].read()
    audit.s3.head_object(**where)
    audit.s3.list_objects_v2(Bucket=audit.shared, Prefix="a/")
    audit.s3.copy_object(Bucket=audit.shared, Key="a/copy.csv", CopySource=where)
    audit.s3.delete_object(Bucket=audit.shared, Key="a/copy.csv")
    audit.s3.put_object(Bucket=audit.shared, Key="a/last.csv", Body=b"")
    # An end delivers what is left, so that what is missing afterwards was not recorded.
    sandbox.run("stop")
    sandbox.start()
    audit.records(lambda _records: True)
    recorded: dict[str, set[str]] = {name: set() for name in SELECTED}
    for file in audit.files():
        recorded[file["Key"].partition("/")[0]] |= {record["eventName"] for record in audit.read[file["Key"]]}
    assert recorded == {name: events for name, (_fields, events) in SELECTED.items()}


def test_a_refusal_is_recorded_for_the_owners_own_principals_alone(sandbox: Sandbox, audit: Audit) -> None:
    audit.new()
    where = {"Bucket": audit.shared, "Key": "a/table.csv"}
    nothing = [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}]
    for account, permissions in (("camden", nothing), ("hub", nothing), ("stranger", EVERYTHING)):
        client = sandbox.client("s3", sandbox.role(account, "localgov-refused", permissions))
        assert code(client.get_object, **where) == "AccessDenied"
    (record,) = audit.new()
    assert record["userIdentity"]["accountId"] == sandbox.account("camden")
    assert record["errorCode"] == "AccessDenied"


def test_a_trail_that_is_switched_off_records_nothing(audit: Audit) -> None:
    off = copy.deepcopy(audit.template(READS))
    off["Resources"]["Trail"]["Properties"]["IsLogging"] = False
    audit.new()
    audit.deploy(off, kind="update")
    assert audit.trails.get_trail_status(Name=audit.name)["IsLogging"] is False
    audit.s3.get_object(Bucket=audit.shared, Key="a/table.csv")["Body"].read()
    audit.deploy(kind="update")
    assert audit.new() == []


def test_a_stack_makes_changes_and_removes_a_trail(sandbox: Sandbox, unique: str) -> None:
    audit = make(sandbox, unique)
    audit.deploy()
    changed = audit.template({"Field": "eventName", "Equals": ["PutObject"]})
    properties = changed["Resources"]["Trail"]["Properties"]
    properties["Tags"] = [{"Key": "owner", "Value": "us"}]
    del properties["EnableLogFileValidation"]
    audit.deploy(changed, kind="update")
    trail = audit.trails.get_trail(Name=audit.name)["Trail"]
    selectors = audit.trails.get_event_selectors(TrailName=audit.name)["AdvancedEventSelectors"]
    tags = audit.trails.list_tags(ResourceIdList=[trail["TrailARN"]])["ResourceTagList"][0]["TagsList"]
    assert trail["LogFileValidationEnabled"] is False
    assert selectors[0]["FieldSelectors"][-1]["Equals"] == ["PutObject"]
    assert tags == [{"Key": "owner", "Value": "us"}]
    audit.stacks.delete_stack(StackName=unique)
    audit.stacks.get_waiter("stack_delete_complete").wait(
        StackName=unique, WaiterConfig={"Delay": 1, "MaxAttempts": _SECONDS}
    )
    assert audit.trails.describe_trails(trailNameList=[unique])["trailList"] == []


@pytest.mark.parametrize("why", ["no bucket", "no policy", "another trail's policy"])
def test_a_trail_that_could_not_deliver_is_refused(sandbox: Sandbox, unique: str, why: str) -> None:
    audit = make(sandbox, unique)
    template = audit.template(READS)
    if why == "no bucket":
        template["Resources"]["Trail"]["Properties"]["S3BucketName"] = f"{unique}-nowhere"
    elif why == "no policy":
        audit.s3.delete_bucket_policy(Bucket=audit.logs)
    else:
        audit.s3.put_bucket_policy(Bucket=audit.logs, Policy=log_policy(audit, "other"))
    with pytest.raises(WaiterError):
        audit.deploy(template)
    events = audit.stacks.describe_stack_events(StackName=unique)["StackEvents"]
    reasons = " ".join(event.get("ResourceStatusReason", "") for event in events)
    assert ("does not exist" if why == "no bucket" else "Incorrect S3 bucket policy") in reasons
    assert audit.trails.describe_trails(trailNameList=[unique])["trailList"] == []


def test_what_is_not_delivered_yet_and_every_lock_outlast_a_restart(sandbox: Sandbox, audit: Audit) -> None:
    audit.new()
    audit.s3.get_object(Bucket=audit.shared, Key="a/table.csv")["Body"].read()
    sandbox.run("stop")
    sandbox.start()
    assert [record["eventName"] for record in audit.new()] == ["GetObject"]
    versions = audit.s3.list_object_versions(Bucket=audit.logs)["Versions"]
    assert versions
    for version in versions:
        where = {"Bucket": audit.logs, "Key": version["Key"], "VersionId": version["VersionId"]}
        assert code(audit.s3.delete_object, **where) == "AccessDenied"
