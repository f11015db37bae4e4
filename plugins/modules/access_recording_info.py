#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell whether a trail records who reads a bucket, and where its record may have gaps."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_recording_info
short_description: Tell whether a trail records who reads a bucket, and where its record may have gaps
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - What M(localgov.platform.access_log_info) tells of a period is evidence only as far as everything was recorded. This
    module tells when it was not, or may not have been, from how the trail is now and from the account's event history,
    which CloudTrail keeps by itself and nobody can alter.
  - It tells when recording was stopped, or the trail was deleted; when the trail did not select every request that is
    to be recorded; when log files were delivered elsewhere, or cannot be delivered now; and when no digest files were
    written.
  - It does not look through the log files. That none was changed or removed is proved by
    C(aws cloudtrail validate-logs), from the digest files and their signatures.
options:
  trail:
    description:
      - The trail's name.
    type: str
    required: true
  bucket:
    description:
      - The bucket whose readers are recorded.
    type: str
    required: true
  log_bucket:
    description:
      - The bucket to which the trail delivers.
    type: str
    required: true
  event_names:
    description:
      - The requests that must be recorded, by their names in CloudTrail.
    type: list
    elements: str
    default: [GetObject, CopyObject, UploadPartCopy, SelectObjectContent]
notes:
  - The caller needs C(cloudtrail:DescribeTrails), C(cloudtrail:GetTrailStatus), C(cloudtrail:GetEventSelectors) and
    C(cloudtrail:LookupEvents). Where it lacks the last one, RV(gaps) says so for the whole period.
  - The event history reaches back 90 days. It is that of the caller's region, which must be the trail's.
  - CloudTrail allows two requests to the event history a second; one run makes nine or more.
extends_documentation_fragment:
  - localgov.platform.period
  - localgov.platform.information
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: localgov.platform.access_log_info
"""

EXAMPLES = r"""
- name: Ask whether November is recorded as a whole
  localgov.platform.access_recording_info:
    trail: localgov-audit
    bucket: localgov-012345670123-shared
    log_bucket: localgov-012345670123-audit
    since: "2026-11-01"
    until: "2026-11-30"
  register: november

- name: Show when it is not
  ansible.builtin.debug:
    msg: "{{ november.gaps }}"
"""

RETURN = r"""
recording:
  description: Whether what is read now is recorded and delivered.
  returned: always
  type: bool
  sample: true
gaps:
  description: Times of the period of which requests may be missing, the earliest first. They may overlap.
  returned: always
  type: list
  elements: dict
  contains:
    since:
      description: Its beginning, in UTC.
      type: str
      sample: "2026-11-21T10:15:31Z"
    until:
      description: Its end, in UTC.
      type: str
      sample: "2026-11-21T11:00:00Z"
    reason:
      description: Why.
      type: str
      sample: recording was stopped
changes:
  description:
    - What was done in the period to the trail, and to the policy and the default lock of the log bucket, the earliest
      first.
  returned: always
  type: list
  elements: dict
  contains:
    time:
      description: When, in UTC.
      type: str
      sample: "2026-11-21T10:15:31Z"
    action:
      description: The request, by its name in CloudTrail.
      type: str
      sample: StopLogging
    principal:
      description: The ARN of the role or user.
      type: str
      sample: arn:aws:iam::012345670123:role/localgov-deploy
    outcome:
      description: V(allowed), or the code of the error.
      type: str
      sample: allowed
    event_id:
      description: CloudTrail's id of the event.
      type: str
      sample: 999934cc-2076-48ca-bab0-2d8eb23428d9
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils import _cloudtrail_logs as logs
from ansible_collections.localgov.platform.plugins.module_utils import _cloudtrail_recording as recording
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import attempt
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import ClientError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

ARGUMENTS: dict[str, Any] = {
    "trail": {"type": "str", "required": True},
    "bucket": {"type": "str", "required": True},
    "log_bucket": {"type": "str", "required": True},
    "event_names": {
        "type": "list",
        "elements": "str",
        "default": ["GetObject", "CopyObject", "UploadPartCopy", "SelectObjectContent"],
    },
    "since": {"type": "str", "required": True},
    "until": {"type": "str"},
}
_NEEDED = "cloudtrail:DescribeTrails, cloudtrail:GetTrailStatus and cloudtrail:GetEventSelectors on the trail"


def state(client: Client, trail: str) -> recording.State:
    """How the trail is now."""
    with attempt(f"look at the trail {trail}", permission=_NEEDED):
        found = client.describe_trails(aws_retry=True, trailNameList=[trail], includeShadowTrails=False)["trailList"]
        if not found:
            return recording.State({}, {}, {})
        return recording.State(
            found[0],
            client.get_trail_status(aws_retry=True, Name=trail),
            client.get_event_selectors(aws_retry=True, TrailName=trail),
        )


def events(client: Client, now: datetime) -> list[dict[str, Any]]:
    """What the event history has of requests by which a record could be kept from being made."""
    found: list[dict[str, Any]] = []
    for name in (*recording.TRAIL_EVENTS, *recording.BUCKET_EVENTS):
        asked: dict[str, Any] = {
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": name}],
            "StartTime": now - recording.HISTORY,
            "EndTime": now,
        }
        answer = client.lookup_events(aws_retry=True, **asked)
        found += answer["Events"]
        while answer.get("NextToken"):
            answer = client.lookup_events(aws_retry=True, **asked, NextToken=answer["NextToken"])
            found += answer["Events"]
    return found


def told(client: Client, evidence: recording.Evidence, period: logs.Period, now: datetime) -> dict[str, Any]:
    """The module's return value."""
    found, unknown = state(client, evidence.trail), []
    history: list[recording.Change] = []
    try:
        history = recording.changes(events(client, now), evidence)
    except ClientError as error:
        reason = (
            "the account's event history cannot be read, so what was done to the trail is not known: "
            f"{error.response['Error']['Code']}. That needs cloudtrail:LookupEvents"
        )
        unknown = [recording.Gap(period.since, period.until, reason)]
    gaps = [*unknown, *recording.gaps(found, history, evidence, period, now)]
    return {
        "recording": recording.is_recording(found, evidence),
        "gaps": [{"since": _text(gap.since), "until": _text(gap.until), "reason": gap.reason} for gap in gaps],
        "changes": [_told(change) for change in history if change.time in period],
    }


def _told(change: recording.Change) -> dict[str, str]:
    return {
        "time": _text(change.time),
        "action": change.action,
        "principal": change.principal,
        "outcome": change.error or "allowed",
        "event_id": change.event_id,
    }


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given, now = module.params, datetime.now(UTC)
    evidence = recording.Evidence(given["trail"], given["bucket"], tuple(given["event_names"]), given["log_bucket"])
    try:
        period = logs.period(given["since"], given["until"], now)
        client = module.client(
            "cloudtrail", retry_decorator=AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
        )
        found = told(client, evidence, period, now)
    except (logs.PeriodError, RefusedError) as reason:
        module.fail_json(msg=str(reason))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
