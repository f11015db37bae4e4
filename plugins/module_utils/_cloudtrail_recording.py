# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a trail's record of who read a bucket may lack something.

AWS tells of a trail how it is now, and when it was last started and stopped. What was changed in between is in the
account's event history, which nobody can alter and which reaches back 90 days.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.localgov.platform.plugins.module_utils._cloudtrail_logs import Period

HISTORY = timedelta(days=90)
_SECOND = timedelta(seconds=1)
# What is done to a trail; each names it as `name` or `trailName`, by its name or ARN.
TRAIL_EVENTS = ("CreateTrail", "DeleteTrail", "PutEventSelectors", "StartLogging", "StopLogging", "UpdateTrail")
# What is done to the bucket of its log files.
BUCKET_EVENTS = ("DeleteBucketPolicy", "PutBucketObjectLockConfiguration", "PutBucketPolicy")

Document = dict[str, Any]
Mark = tuple[datetime, bool]  # from when on, and whether all was as it must be


@dataclass(frozen=True)
class Evidence:
    """Where the records of *bucket*'s readers are expected: from which trail, of which requests, in which log files."""

    trail: str
    bucket: str
    event_names: tuple[str, ...]
    log_bucket: str
    key_prefix: str = ""


@dataclass(frozen=True)
class State:
    """How the trail is now, as DescribeTrails, GetTrailStatus and GetEventSelectors say; all empty without a trail."""

    trail: Document
    status: Document
    selectors: Document


@dataclass(frozen=True)
class Change:
    """One event of the history that concerns the trail or its log files."""

    time: datetime
    action: str
    principal: str
    event_id: str
    parameters: Document
    error: str | None


@dataclass(frozen=True)
class Gap:
    """A time of which requests may be missing."""

    since: datetime
    until: datetime
    reason: str


@dataclass(frozen=True)
class _Aspect:
    """One thing that must be so for the record to be whole."""

    reason: str
    marks: list[Mark]
    is_so_now: bool


# --- The event history --------------------------------------------------------------------------------------------


def changes(events: Iterable[Document], evidence: Evidence) -> list[Change]:
    """What LookupEvents told that concerns this trail and its log files, the oldest first."""
    found = {event["EventId"]: _change(json.loads(event["CloudTrailEvent"])) for event in events}
    return sorted((one for one in found.values() if _concerns(one, evidence)), key=lambda change: change.time)


def _change(record: Document) -> Change:
    identity = record.get("userIdentity") or {}
    issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
    who = issuer.get("arn") or identity.get("arn") or identity.get("invokedBy") or identity.get("accountId")
    return Change(
        time=datetime.strptime(record["eventTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
        action=record["eventName"],
        principal=str(who or "unknown"),
        event_id=record["eventID"],
        parameters=record.get("requestParameters") or {},
        error=record.get("errorCode"),
    )


def _concerns(change: Change, evidence: Evidence) -> bool:
    if change.action in BUCKET_EVENTS:
        return bool(change.parameters.get("bucketName") == evidence.log_bucket)
    named = str(change.parameters.get("name") or change.parameters.get("trailName") or "")
    return named.rpartition("/")[2] == evidence.trail


# --- What is selected ---------------------------------------------------------------------------------------------


def covers(selectors: Document, evidence: Evidence) -> bool:
    """Whether every request is recorded that is expected to be. A selector that is not understood selects nothing.

    Takes GetEventSelectors' answer as well as PutEventSelectors' parameters in the event history, whose keys begin
    with small letters.
    """
    said = camel_dict_to_snake_dict(selectors)
    advanced, basic = said.get("advanced_event_selectors") or [], said.get("event_selectors") or []
    return any(_selects_all(selector, evidence) for selector in basic) or all(
        any(_selects(selector, name, evidence) for selector in advanced) for name in evidence.event_names
    )


def _selects(selector: Document, event_name: str, evidence: Evidence) -> bool:
    event = {
        "eventCategory": "Data",
        "eventName": event_name,
        "resources.ARN": _objects(evidence),
        "resources.type": "AWS::S3::Object",
    }
    return bool(selector.get("field_selectors")) and all(
        rule["field"] in event and _fits(event[rule["field"]], rule) for rule in selector["field_selectors"]
    )


def _fits(value: str, rule: Document) -> bool:
    operators = {name: wanted for name, wanted in rule.items() if name != "field" and wanted}
    if operators.keys() == {"equals"}:
        return value in operators["equals"]
    return operators.keys() == {"starts_with"} and value.startswith(tuple(operators["starts_with"]))


def _selects_all(selector: Document, evidence: Evidence) -> bool:
    return selector.get("read_write_type", "All") == "All" and any(
        resource["type"] == "AWS::S3::Object" and _objects(evidence).startswith(tuple(resource.get("values") or ()))
        for resource in selector.get("data_resources") or []
    )


def _objects(evidence: Evidence) -> str:
    """What the ARNs of all objects of the bucket begin with."""
    return f"arn:aws:s3:::{evidence.bucket}/"


# --- Gaps ---------------------------------------------------------------------------------------------------------


def gaps(state: State, history: Iterable[Change], evidence: Evidence, period: Period, now: datetime) -> list[Gap]:
    """The times of the period of which requests may be missing, with the reason of each; those of one reason apart."""
    done = [change for change in history if change.error is None]
    found = [
        Gap(begin, end, aspect.reason)
        for aspect in (_logs(state, done), *_is_set_up(state, done, evidence))
        for begin, end in _missing(aspect, now)
    ]
    found += _before_first_start(state, done) + _undelivered(state, now)
    if period.since < now - HISTORY:
        reason = "the account's event history reaches back 90 days; what was done to the trail before is not known"
        found.append(Gap(period.since, now - HISTORY, reason))
    return sorted(_within(period, found), key=lambda gap: (gap.since, gap.until, gap.reason))


def is_recording(state: State, evidence: Evidence) -> bool:
    """Whether what is read now will be told."""
    aspects = _is_set_up(state, [], evidence)
    undelivered = state.status.get("LatestDeliveryError")
    return _is_logging(state) and not undelivered and all(aspect.is_so_now for aspect in aspects[:2])


def _is_logging(state: State) -> bool:
    return bool(state.trail) and bool(state.status.get("IsLogging"))


def _logs(state: State, done: list[Change]) -> _Aspect:
    reason = "recording was stopped" if state.trail else "there is no trail"
    return _Aspect(reason, _logging_marks(state, done), _is_logging(state))


def _logging_marks(state: State, done: list[Change]) -> list[Mark]:
    states = {"StartLogging": True, "StopLogging": False, "DeleteTrail": False}
    marks = [(change.time, states[change.action]) for change in done if change.action in states]
    for name, is_logging in (("StopLoggingTime", False), ("StartLoggingTime", True)):
        if state.status.get(name):
            marks.append((state.status[name].astimezone(UTC), is_logging))
    return sorted(marks)


def _is_set_up(state: State, done: list[Change], evidence: Evidence) -> tuple[_Aspect, _Aspect, _Aspect]:
    """What is selected, where it is delivered, and whether that is sealed. Without a trail there is nothing to say."""
    there, trail = bool(state.trail), state.trail
    where = (trail.get("S3BucketName"), trail.get("S3KeyPrefix") or "")

    def marks(action: str, parameter: str, is_so: Callable[[Document], bool]) -> list[Mark]:
        told = [change for change in done if change.action == action and parameter in change.parameters]
        return [(change.time, is_so(change.parameters)) for change in told]

    selected = [
        (change.time, covers(change.parameters, evidence)) for change in done if change.action == "PutEventSelectors"
    ]
    delivered = [
        (change.time, _delivers_to(change.parameters, evidence))
        for change in done
        if change.action == "UpdateTrail" and {"s3BucketName", "s3KeyPrefix"} & change.parameters.keys()
    ]
    return (
        _Aspect(
            f"the trail did not select every request that hands out an object of {evidence.bucket}",
            selected,
            not there or covers(state.selectors, evidence),
        ),
        _Aspect(
            f"log files were delivered elsewhere than to {evidence.log_bucket}",
            delivered,
            not there or where == (evidence.log_bucket, evidence.key_prefix),
        ),
        _Aspect(
            "no digest files were written, by which it could be proved that no log file is missing",
            marks("UpdateTrail", "enableLogFileValidation", lambda given: bool(given["enableLogFileValidation"])),
            not there or bool(trail.get("LogFileValidationEnabled")),
        ),
    )


def _delivers_to(parameters: Document, evidence: Evidence) -> bool:
    """Whether the destination, of which a change may say only a part, is where log files are looked for."""
    bucket = parameters.get("s3BucketName", evidence.log_bucket)
    prefix = parameters.get("s3KeyPrefix", evidence.key_prefix) or ""
    return (bucket, prefix) == (evidence.log_bucket, evidence.key_prefix)


def _missing(aspect: _Aspect, now: datetime) -> list[tuple[datetime, datetime]]:
    """From each mark of trouble to the next one that all is well; all the time, when the marks do not explain now."""
    ends_well = aspect.marks[-1][1] if aspect.marks else True
    if ends_well and not aspect.is_so_now:
        return [(datetime.min.replace(tzinfo=UTC), now)]
    found: list[tuple[datetime, datetime]] = []
    begin: datetime | None = None
    for moment, is_so in aspect.marks:
        if is_so and begin is not None:
            # The history knows whole seconds: what begins and ends within one may have lasted for as long.
            end = max(moment, begin + _SECOND)
            if found and begin <= found[-1][1]:
                begin = found.pop()[0]
            found.append((begin, end))
        begin = None if is_so else begin or moment
    return [*found, (begin, now)] if begin else found


def _before_first_start(state: State, done: list[Change]) -> list[Gap]:
    marks = _logging_marks(state, done)
    if not marks or not marks[0][1]:
        return []
    reason = "recording is not known to have been on before it was started"
    return [Gap(datetime.min.replace(tzinfo=UTC), marks[0][0], reason)]


def _undelivered(state: State, now: datetime) -> list[Gap]:
    found = []
    for what, prefix in (("log files", "LatestDelivery"), ("digest files", "LatestDigestDelivery")):
        error, last = state.status.get(f"{prefix}Error"), state.status.get(f"{prefix}Time")
        if error:
            begin = last.astimezone(UTC) if last else datetime.min.replace(tzinfo=UTC)
            found.append(Gap(begin, now, f"CloudTrail could not deliver {what}: {error}"))
    return found


def _within(period: Period, found: Iterable[Gap]) -> list[Gap]:
    cut = [Gap(max(gap.since, period.since), min(gap.until, period.until), gap.reason) for gap in found]
    return [gap for gap in cut if gap.since < gap.until]
