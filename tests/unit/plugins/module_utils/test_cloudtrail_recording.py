# SPDX-License-Identifier: GPL-3.0-or-later
"""When a record of reads may lack something: from how a trail is, and from what was done to it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils import _cloudtrail_recording as recording
from ansible_collections.localgov.platform.plugins.module_utils._cloudtrail_logs import Period

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PERIOD = Period(NOW - timedelta(days=10), NOW)
EVIDENCE = recording.Evidence("localgov-audit", "shared", ("GetObject", "CopyObject"), "logs")
ARN = "arn:aws:cloudtrail:eu-west-2:012345670123:trail/localgov-audit"


def day(number: float) -> datetime:
    """So many days after the period's beginning; before it, when negative."""
    return PERIOD.since + timedelta(days=number)


def advanced(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"AdvancedEventSelectors": [{"Name": "Reads", "FieldSelectors": list(fields)}]}


DATA = {"Field": "eventCategory", "Equals": ["Data"]}
OBJECTS = {"Field": "resources.type", "Equals": ["AWS::S3::Object"]}
OF_SHARED = {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::shared/"]}
NAMED = {"Field": "eventName", "Equals": ["GetObject", "CopyObject"]}
WHOLE = advanced(DATA, OBJECTS, OF_SHARED, NAMED)
NARROW = advanced(DATA, OBJECTS, {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::shared/ssda903/"]}, NAMED)

SOUND = recording.State(
    {"S3BucketName": "logs", "LogFileValidationEnabled": True},
    {"IsLogging": True, "StartLoggingTime": day(-30)},
    WHOLE,
)


def with_status(**status: Any) -> recording.State:  # noqa: ANN401
    return replace(SOUND, status={**SOUND.status, **status})


def event(action: str, moment: datetime, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
    """As LookupEvents tells it; of this trail, unless the parameters name another thing."""
    error = {"errorCode": parameters.pop("errorCode")} if "errorCode" in parameters else {}
    record = {
        "eventID": f"{action}-{moment}",
        "eventName": action,
        "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "userIdentity": {"arn": "arn:aws:iam::012345670123:user/maria"},
        "requestParameters": parameters or {"name": ARN},
        **error,
    }
    return {"EventId": record["eventID"], "CloudTrailEvent": json.dumps(record)}


def found(
    state: recording.State, *events: dict[str, Any], period: Period = PERIOD
) -> list[tuple[datetime, datetime, str]]:
    history = recording.changes(events, EVIDENCE)
    gaps = recording.gaps(state, history, EVIDENCE, period, NOW)
    return [(gap.since, gap.until, gap.reason) for gap in gaps]


def test_a_trail_that_has_recorded_all_the_time_has_no_gaps() -> None:
    assert found(SOUND) == []
    assert recording.is_recording(SOUND, EVIDENCE)


def test_recording_is_missed_from_each_stop_to_the_next_start() -> None:
    state = with_status(StopLoggingTime=day(7), StartLoggingTime=day(8))
    events = [
        event("StopLogging", day(2)),
        event("StartLogging", day(3), name="localgov-audit"),
        event("StopLogging", day(7)),
        event("StartLogging", day(8)),
    ]
    stopped = "recording was stopped"
    assert found(state, *events) == [(day(2), day(3), stopped), (day(7), day(8), stopped)]
    assert found(state) == [(day(7), day(8), stopped)], "the last time, also without the event history"


def test_recording_that_was_stopped_for_less_than_a_second_is_missed_for_one() -> None:
    moment = day(3).replace(microsecond=400_000)
    events = [event("StopLogging", moment), event("StartLogging", moment)]
    state = with_status(StopLoggingTime=moment, StartLoggingTime=moment + timedelta(milliseconds=300))
    ((begin, end, reason),) = found(state, *events)
    assert reason == "recording was stopped"
    assert begin <= moment < end <= moment + timedelta(seconds=1)


def test_a_stop_before_the_period_counts_from_its_beginning_and_one_that_lasts_until_its_end() -> None:
    state = with_status(IsLogging=False, StopLoggingTime=day(-1))
    assert found(state) == [(PERIOD.since, PERIOD.until, "recording was stopped")]
    assert not recording.is_recording(state, EVIDENCE)


def test_a_trail_that_was_started_in_the_period_is_not_known_to_have_recorded_before() -> None:
    assert found(with_status(StartLoggingTime=day(4))) == [
        (PERIOD.since, day(4), "recording is not known to have been on before it was started")
    ]


def test_without_a_trail_nothing_is_recorded_since_it_was_deleted_or_never() -> None:
    none = recording.State({}, {}, {})
    assert found(none) == [(PERIOD.since, PERIOD.until, "there is no trail")]
    assert found(none, event("DeleteTrail", day(6))) == [(day(6), PERIOD.until, "there is no trail")]
    assert not recording.is_recording(none, EVIDENCE)


def test_selectors_that_were_narrowed_and_widened_again_leave_a_gap_in_between() -> None:
    small = json.loads(json.dumps(NARROW).replace("AdvancedEvent", "advancedEvent").replace("FieldSel", "fieldSel"))
    small = json.loads(json.dumps(small).replace('"Field"', '"field"').replace('"Equals"', '"equals"'))
    whole = json.loads(json.dumps(WHOLE).replace("AdvancedEvent", "advancedEvent").replace("FieldSel", "fieldSel"))
    gaps = found(
        SOUND,
        event("PutEventSelectors", day(1), trailName=ARN, **small),
        event("PutEventSelectors", day(2), trailName=ARN, **whole),
    )
    assert [(begin, end) for begin, end, _ in gaps] == [(day(1), day(2))]
    assert "did not select every request" in gaps[0][2]


def test_selectors_that_nobody_is_known_to_have_narrowed_leave_the_whole_period_in_doubt() -> None:
    assert [(begin, end) for begin, end, _ in found(replace(SOUND, selectors=NARROW))] == [(PERIOD.since, NOW)]


@pytest.mark.parametrize(
    ("selectors", "covers"),
    [
        (WHOLE, True),
        (advanced(DATA, OBJECTS), True),
        (NARROW, False),
        (advanced(DATA, OBJECTS, OF_SHARED, {"Field": "eventName", "Equals": ["GetObject"]}), False),
        (advanced(DATA, OBJECTS, {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::other/"]}), False),
        (advanced(DATA, OBJECTS, {"Field": "readOnly", "Equals": ["true"]}), False),
        (advanced(DATA, OBJECTS, {**OF_SHARED, "NotEndsWith": [".csv"]}), False),
        (advanced({"Field": "eventCategory", "Equals": ["Management"]}), False),
        ({"AdvancedEventSelectors": [*NARROW["AdvancedEventSelectors"], *WHOLE["AdvancedEventSelectors"]]}, True),
        ({"EventSelectors": [{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}]}, True),
        (
            {
                "EventSelectors": [
                    {
                        "ReadWriteType": "ReadOnly",
                        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}],
                    }
                ]
            },
            False,
        ),
        ({"EventSelectors": [{"ReadWriteType": "All", "DataResources": []}]}, False),
        ({}, False),
    ],
)
def test_only_selectors_that_take_every_such_request_cover_the_bucket(selectors: dict[str, Any], covers: bool) -> None:
    assert recording.covers(selectors, EVIDENCE) is covers


def test_log_files_that_went_elsewhere_and_digests_that_were_switched_off_leave_gaps() -> None:
    gaps = found(
        SOUND,
        event("UpdateTrail", day(1), name=ARN, s3BucketName="elsewhere", enableLogFileValidation=False),
        event("UpdateTrail", day(3), name=ARN, s3BucketName="logs"),
        event("UpdateTrail", day(5), name=ARN, enableLogFileValidation=True),
    )
    assert [(begin, end, "elsewhere" in reason, "digest" in reason) for begin, end, reason in gaps] == [
        (day(1), day(3), True, False),
        (day(1), day(5), False, True),
    ]


def test_log_files_that_went_to_another_prefix_of_the_same_bucket_leave_a_gap() -> None:
    gaps = found(
        SOUND,
        event("UpdateTrail", day(1), name=ARN, s3KeyPrefix="aside"),
        event("UpdateTrail", day(3), name=ARN, s3KeyPrefix=""),
    )
    assert [(begin, end, "elsewhere" in reason) for begin, end, reason in gaps] == [(day(1), day(3), True)]


def test_a_delivery_that_fails_leaves_a_gap_since_the_last_one() -> None:
    state = with_status(LatestDeliveryError="AccessDenied", LatestDeliveryTime=day(9))
    assert found(state) == [(day(9), NOW, "CloudTrail could not deliver log files: AccessDenied")]
    assert not recording.is_recording(state, EVIDENCE)


def test_of_what_is_older_than_the_event_history_it_says_that_it_does_not_know() -> None:
    year = Period(NOW - timedelta(days=365), NOW)
    state = with_status(StartLoggingTime=year.since - timedelta(days=1))
    ((begin, end, reason),) = found(state, period=year)
    assert (begin, end) == (year.since, NOW - timedelta(days=90))
    assert "90 days" in reason


def test_what_failed_changed_nothing_and_other_trails_and_buckets_are_left_out() -> None:
    events = [
        event("StopLogging", day(2), name="localgov-audit", errorCode="AccessDenied"),
        event("StopLogging", day(3), name="another"),
        event("PutBucketPolicy", day(4), bucketName="logs"),
        event("PutBucketPolicy", day(5), bucketName="another"),
    ]
    assert found(SOUND, *events) == []
    told = [(change.time, change.action, change.error) for change in recording.changes(events, EVIDENCE)]
    assert told == [(day(2), "StopLogging", "AccessDenied"), (day(4), "PutBucketPolicy", None)]
