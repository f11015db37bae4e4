# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudTrail's trails in stacks, and what they deliver: the log files of requests on objects.

As shipped a trail is a record that nothing follows from, and no stack may contain one. Here each request on an object
that an advanced event selector of a trail asks for becomes a record in a log file in the trail's bucket, if the
bucket's policy lets CloudTrail write there. That AWS tells a bucket's owner what it refused to another account is not
to be relied on, so here it does not: such refusals are missing from the owner's log files.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from sandbox.emulator import audit_history, audit_records
from sandbox.emulator.internals import find
from sandbox.settings import Settings

_PROVISIONERS = "ministack.services.cloudformation.provisioners"
_CLOUDTRAIL = "ministack.services.cloudtrail"

NEEDS = (
    f"{_PROVISIONERS}._RESOURCE_HANDLERS",
    f"{_PROVISIONERS}._REPLACING_PROPERTIES",
    f"{_CLOUDTRAIL}._add_tags",
    f"{_CLOUDTRAIL}._create_trail",
    f"{_CLOUDTRAIL}._delete_trail",
    f"{_CLOUDTRAIL}._event_selectors",
    f"{_CLOUDTRAIL}._put_event_selectors",
    f"{_CLOUDTRAIL}._remove_tags",
    f"{_CLOUDTRAIL}._start_logging",
    f"{_CLOUDTRAIL}._stop_logging",
    f"{_CLOUDTRAIL}._trails",
    f"{_CLOUDTRAIL}._update_trail",
    "ministack.app._build_persistence_save_dict",
    "ministack.app._dispatch_service_request",
    "ministack.core.iam_evaluator.EvalContext",
    "ministack.core.iam_evaluator.evaluate_resource_policy",
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.get_region",
    "ministack.core.responses.request_scope",
    "ministack.core.router.detect_service",
    "ministack.services.s3._PERSISTED_BUCKET_DICTS",
    "ministack.services.s3._bucket_policies",
    "ministack.services.s3._object_legal_hold",
    "ministack.services.s3._object_retention",
    "ministack.services.s3._put_object",
    *audit_records.NEEDS,
)

_SERVICE = "cloudtrail.amazonaws.com"
# AWS takes some minutes; nobody learns anything from waiting for them here.
_SECONDS = 2.0
_KIND = "AWS::CloudTrail::Trail"
# Properties of a stack's trail whose names in CloudTrail's own calls differ.
_API_NAMES = {"TrailName": "Name", "KMSKeyId": "KmsKeyId"}
_NOT_OF_THE_TRAIL = frozenset({"AdvancedEventSelectors", "EventSelectors", "InsightSelectors", "IsLogging", "Tags"})

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]  # physical id, attributes

_logger = logging.getLogger("sandbox")


def install(settings: Settings) -> None:
    del settings
    handlers, replacing = find(f"{_PROVISIONERS}._RESOURCE_HANDLERS"), find(f"{_PROVISIONERS}._REPLACING_PROPERTIES")
    handlers[_KIND] = {"create": _create, "update": _update, "delete": _delete}
    replacing[_KIND] = ("TrailName",)
    delivery = Delivery()
    _record_requests(delivery)
    _deliver_before_saving(delivery)
    _keep_locks()


def _record_requests(delivery: Delivery) -> None:
    """Also of those that a caller's own policies refuse, which never reach S3."""
    app = find("ministack.app")
    detect_service = find("ministack.core.router.detect_service")
    shipped = app._dispatch_service_request

    @functools.wraps(shipped)
    async def dispatch(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str
    ) -> Any:  # noqa: ANN401
        # Without a trail, a request costs no more than this question.
        if not find(f"{_CLOUDTRAIL}._trails").has_any() or detect_service(method, path, headers, query) != "s3":
            return await shipped(method, path, headers, body, query, request_id)
        name, resources = audit_records.touched(method, path, headers, query)
        wanting = [trail for trail in _trails_of(resources) if _selects(trail, name, resources)]
        if not wanting:
            return await shipped(method, path, headers, body, query, request_id)
        asked = audit_records.request(name, resources, headers, query, audit_records.access_key_of(headers, query))
        status, answer_headers, answer_body = await shipped(method, path, headers, body, query, request_id)
        answer = audit_records.Answer(status, answer_headers, answer_body)
        for trail in wanting:
            if status != HTTPStatus.FORBIDDEN or asked.identity["accountId"] == trail.account:
                delivery.add(trail, audit_records.record(asked, answer, request_id, trail.account, trail.region))
        return status, answer_headers, answer_body

    app._dispatch_service_request = dispatch


def _deliver_before_saving(delivery: Delivery) -> None:
    app = find("ministack.app")
    shipped = app._build_persistence_save_dict

    @functools.wraps(shipped)
    def build_persistence_save_dict() -> Any:  # noqa: ANN401
        delivery.deliver()
        return shipped()

    app._build_persistence_save_dict = build_persistence_save_dict


def _keep_locks() -> None:
    """As shipped a restart forgets which object versions are locked, and log files could be deleted."""
    kept = find("ministack.services.s3._PERSISTED_BUCKET_DICTS")
    kept["object_retention"] = find("ministack.services.s3._object_retention")
    kept["object_legal_hold"] = find("ministack.services.s3._object_legal_hold")


# --- Which trail wants what ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trail:
    account: str
    region: str
    name: str
    arn: str
    bucket: str
    prefix: str

    @property
    def selectors(self) -> list[dict[str, Any]]:
        stored = find(f"{_CLOUDTRAIL}._event_selectors").get_scoped(self.account, self.region, self.name, [])
        return [selector for selector in stored if "FieldSelectors" in selector]


def _trails_of(resources: tuple[audit_records.Resource, ...]) -> list[Trail]:
    """The trails that log in the account and region of one of these buckets. Each trail is one of a single region."""
    homes = [home for resource in resources if (home := audit_records.home_of(resource.bucket))]
    return [
        _trail(account, region, stored)
        for (account, region, _name), stored in find(f"{_CLOUDTRAIL}._trails").all_items()
        if stored["IsLogging"] and any(account == owner and region == home for owner, home in homes)
    ]


def _trail(account: str, region: str, stored: dict[str, Any]) -> Trail:
    prefix = stored.get("S3KeyPrefix") or ""
    return Trail(account, region, stored["Name"], stored["TrailARN"], stored["S3BucketName"], prefix)


def _selects(trail: Trail, name: str, resources: tuple[audit_records.Resource, ...]) -> bool:
    own = [
        resource for resource in resources if audit_records.home_of(resource.bucket) == (trail.account, trail.region)
    ]
    return any(_matches(selector, name, resource) for selector in trail.selectors for resource in own)


def _matches(selector: dict[str, Any], name: str, resource: audit_records.Resource) -> bool:
    """Whether every field of the selector fits. One that cannot be known here fits nothing."""
    event = {
        "eventCategory": "Data",
        "eventName": name,
        "eventSource": "s3.amazonaws.com",
        "readOnly": "true" if name.startswith(("Get", "Head", "List")) else "false",
        "resources.ARN": resource.arn,
        "resources.type": "AWS::S3::Object",
    }
    return all(_fits(event.get(rule["Field"]), rule) for rule in selector["FieldSelectors"])


_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "Equals": str.__eq__,
    "StartsWith": str.startswith,
    "EndsWith": str.endswith,
}


def _fits(value: str | None, rule: dict[str, Any]) -> bool:
    if value is None:
        return False
    for operator, compare in _COMPARISONS.items():
        if operator in rule and not any(compare(value, wanted) for wanted in rule[operator]):
            return False
        if any(compare(value, unwanted) for unwanted in rule.get(f"Not{operator}", [])):
            return False
    return True


# --- Log files ----------------------------------------------------------------------------------------------------


@dataclass
class Delivery:
    """Records that wait for the next log file of their trail."""

    waiting: dict[Trail, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, trail: Trail, record: dict[str, Any]) -> None:
        if not self.waiting:
            asyncio.get_running_loop().call_later(_SECONDS, self.deliver)
        self.waiting.setdefault(trail, []).append(record)

    def deliver(self) -> None:
        waiting, self.waiting = self.waiting, {}
        for trail, records in waiting.items():
            try:
                _write(trail, records)
            except Exception:  # What goes wrong with one trail must not stop the emulator, or another trail.
                _logger.exception("CloudTrail could not deliver %d records of %s", len(records), trail.arn)


def _write(trail: Trail, records: list[dict[str, Any]]) -> None:
    now = time.gmtime()
    folder = f"AWSLogs/{trail.account}/CloudTrail/{trail.region}/{time.strftime('%Y/%m/%d', now)}"
    unique = secrets.token_hex(8)
    name = f"{trail.account}_CloudTrail_{trail.region}_{time.strftime('%Y%m%dT%H%MZ', now)}_{unique}.json.gz"
    key = "/".join(part for part in (trail.prefix, folder, name) if part)
    home = audit_records.home_of(trail.bucket)
    if home is None or not _may(trail, "s3:PutObject", f"arn:aws:s3:::{trail.bucket}/{key}"):
        _logger.warning("The policy of %s does not let CloudTrail deliver for %s", trail.bucket, trail.arn)
        return
    body = gzip.compress(json.dumps({"Records": records}).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip", "x-amz-acl": _ACL}
    with find("ministack.core.responses.request_scope")(*home):
        status, _headers, answer = find("ministack.services.s3._put_object")(trail.bucket, key, body, headers)
    if status != HTTPStatus.OK:
        _logger.warning("S3 refused CloudTrail's log file of %s: %s", trail.arn, answer)


_ACL = "bucket-owner-full-control"


def _may(trail: Trail, action: str, resource: str) -> bool:
    """Whether the bucket's policy lets CloudTrail do this for this trail."""
    evaluator = find("ministack.core.iam_evaluator")
    home = audit_records.home_of(trail.bucket)
    policy = find("ministack.services.s3._bucket_policies").get_scoped(home[0], None, trail.bucket) if home else None
    context = evaluator.EvalContext(
        principal_arn=_SERVICE,
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource,
        region=trail.region,
        secure_transport=True,
        service_context={
            "aws:principalisawsservice": "true",
            "aws:principalservicename": _SERVICE,
            "aws:sourceaccount": trail.account,
            "aws:sourcearn": trail.arn,
            "s3:x-amz-acl": _ACL,
        },
    )
    return bool(evaluator.evaluate_resource_policy(policy, context, service=_SERVICE).decision == "Allow")


# --- Trails in stacks ---------------------------------------------------------------------------------------------


def _create(logical_id: str, properties: Properties, stack: str) -> Created:
    name = properties.get("TrailName") or f"{stack}-{logical_id}-{secrets.token_hex(6)}"
    properties = {**properties, "TrailName": name}
    _check_bucket(properties)
    _ask("_create_trail", **_own(properties))
    try:
        _settle(properties)
    except ValueError:
        _ask("_delete_trail", Name=name)
        raise
    return _made(name)


def _update(physical_id: str, before: Properties, properties: Properties, stack: str) -> Created:
    del stack
    properties = {**properties, "TrailName": physical_id}
    _check_bucket(properties)
    # What the stack no longer mentions goes back to what a new trail has.
    unset = {name: value for name, value in _UNSET.items() if name in _own(before)}
    _ask("_update_trail", **{**unset, **_own(properties)})
    _settle(properties, before)
    return _made(physical_id)


def _delete(physical_id: str, properties: Properties) -> None:
    del properties
    if find(f"{_CLOUDTRAIL}._trails").get(physical_id) is not None:
        _ask("_delete_trail", Name=physical_id)


_UNSET = {
    "EnableLogFileValidation": False,
    "IncludeGlobalServiceEvents": True,
    "IsMultiRegionTrail": False,
    "KmsKeyId": "",
    "S3KeyPrefix": "",
}
_DEFAULT_SELECTORS = [{"ReadWriteType": "All", "IncludeManagementEvents": True}]


def _own(properties: Properties) -> dict[str, Any]:
    """What CreateTrail and UpdateTrail are told."""
    own = {_API_NAMES.get(name, name): value for name, value in properties.items() if name not in _NOT_OF_THE_TRAIL}
    return {
        name: _is_true(value) if name.startswith(("Enable", "Include", "Is")) else value for name, value in own.items()
    }


def _settle(properties: Properties, before: Properties | None = None) -> None:
    """What is said of a trail in calls of their own: what it selects, its tags, and whether it logs."""
    name = properties["TrailName"]
    if properties.get("AdvancedEventSelectors"):
        _ask("_put_event_selectors", TrailName=name, AdvancedEventSelectors=properties["AdvancedEventSelectors"])
    else:
        selectors = properties.get("EventSelectors") or _DEFAULT_SELECTORS
        _ask("_put_event_selectors", TrailName=name, EventSelectors=selectors)
    arn = find(f"{_CLOUDTRAIL}._trails")[name]["TrailARN"]
    if before and before.get("Tags"):
        _ask("_remove_tags", ResourceId=arn, TagsList=before["Tags"])
    _ask("_add_tags", ResourceId=arn, TagsList=properties.get("Tags") or [])
    _ask("_start_logging" if _is_true(properties.get("IsLogging")) else "_stop_logging", Name=name)


def _made(name: str) -> Created:
    return name, {"Arn": find(f"{_CLOUDTRAIL}._trails")[name]["TrailARN"]}


def _check_bucket(properties: Properties) -> None:
    """As on AWS, a trail is refused when its files could not be delivered."""
    responses = find("ministack.core.responses")
    account, region, bucket = responses.get_account_id(), responses.get_region(), properties.get("S3BucketName", "")
    if audit_records.home_of(bucket) is None:
        raise ValueError(f"S3 bucket {bucket} does not exist! (S3BucketDoesNotExistException)")
    name, prefix = properties["TrailName"], properties.get("S3KeyPrefix") or ""
    trail = Trail(account, region, name, f"arn:aws:cloudtrail:{region}:{account}:trail/{name}", bucket, prefix)
    written = "/".join(part for part in (prefix, f"AWSLogs/{account}/CloudTrail/{region}/file") if part)
    if not (
        _may(trail, "s3:GetBucketAcl", f"arn:aws:s3:::{bucket}")
        and _may(trail, "s3:PutObject", f"arn:aws:s3:::{bucket}/{written}")
    ):
        raise ValueError(
            f"Incorrect S3 bucket policy is detected for bucket: {bucket} (InsufficientS3BucketPolicyException)"
        )


def _ask(operation: str, **parameters: Any) -> None:  # noqa: ANN401 - any JSON value
    """Call an operation of CloudTrail as CloudFormation does."""
    status, _headers, body = find(f"{_CLOUDTRAIL}.{operation}")(parameters)
    if status != HTTPStatus.OK:
        answer = json.loads(body)
        raise ValueError(str(answer.get("message") or answer))
    audit_history.remember_by_stack("".join(word.capitalize() for word in operation.split("_")), parameters)


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"
