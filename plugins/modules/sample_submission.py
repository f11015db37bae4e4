#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send a sample file through an account's pipeline, and take it back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sample_submission
short_description: Send a sample file through an account's pipeline, and take it back
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Puts a file of made-up rows among the uploads, waits until the pipeline has accepted it, and withdraws it, so that
    in the end nothing of it counts, here or in what is shared.
  - It is known by its content, and by what it O(proves). What has gone through once is not sent again.
  - It is sent only where its dataset and year have no upload of anybody else, since what was uploaded last is what
    counts. Samples that are left, of a run that was killed or of a pipeline that did not work, are nobody's upload, and
    are asked back first.
options:
  data_store:
    description:
      - The bucket with C(uploads/) and C(results/).
    type: str
    required: true
  dataset:
    description:
      - The dataset that the file is of.
    type: str
    required: true
  year:
    description:
      - The year.
    type: int
    required: true
  src:
    description:
      - The CSV file, on the control node.
    type: path
    required: true
  proves:
    description:
      - What the pipeline is proved for, such as the time at which a release began. For each a sample is sent once;
        without it once and for all.
    type: str
    default: ""
  wait_timeout:
    description:
      - The seconds that each of the two steps may take.
    type: int
    default: 900
attributes:
  check_mode:
    support: full
    description: Says whether the file would be sent.
  diff_mode:
    support: none
    description: There is nothing to compare.
notes:
  - Permissions that the task's identity needs - C(s3:ListBucketVersions) on the bucket, C(s3:PutObject) on
    C(uploads/*/sample-*.csv) and C(withdrawals/*/sample-*.json), and C(s3:GetObject) on C(results/*/report.json) in it.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: localgov.platform.submission_runs
"""

EXAMPLES = r"""
- name: Show that the pipeline works
  localgov.platform.sample_submission:
    data_store: localgov-012345670123-data-store
    dataset: school_places
    year: 2024
    src: files/dagster/code_server/samples/school_places.csv
"""

RETURN = r"""
state:
  description: >-
    V(withdrawn) when it went through and was taken back, now or earlier; V(not sent) where there are uploads of
    others; V(would be sent) in check mode.
  returned: success
  type: str
rows:
  description: How many rows the pipeline read, now.
  returned: when it was sent
  type: int
report:
  description: Where the pipeline's report of it lies.
  returned: success
  type: str
  sample: s3://localgov-012345670123-data-store/results/school_places/2024/sample-0c1d2e3f4a5b/report.json
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import attempt
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.module_utils._submissions import Submissions, wait_for_reports

ARGUMENTS: dict[str, Any] = {
    "data_store": {"type": "str", "required": True},
    "dataset": {"type": "str", "required": True},
    "year": {"type": "int", "required": True},
    "src": {"type": "path", "required": True},
    "proves": {"type": "str", "default": ""},
    "wait_timeout": {"type": "int", "default": 900},
}

_SAMPLE = "sample-"
# As `sample_name` has it, which is no name that somebody gives an upload.
_IS_SAMPLE = re.compile(rf"{_SAMPLE}[0-9a-f]{{12}}[.]")


def put(submissions: Submissions, key: str, content: bytes) -> None:
    with attempt(f"put {key} into {submissions.data_store}", permission="s3:PutObject on it"):
        submissions.s3.put_object(aws_retry=True, Bucket=submissions.data_store, Key=key, Body=content)


def next_report(submissions: Submissions, scope: str, name: str, key: str, content: bytes, seconds: int) -> Any:  # noqa: ANN401
    """What the pipeline reports once it has seen the object. RefusedError where it is silent."""
    before = submissions.reports(scope)
    put(submissions, key, content)
    if not wait_for_reports(submissions, scope, before, [name], seconds):
        raise RefusedError(
            f"The pipeline has said nothing of s3://{submissions.data_store}/{key} for {seconds} seconds. Look whether "
            "the services daemon and code_server are running, and at the log group /localgov/run, then run this again."
        )
    return submissions.report(scope, name)


def sample_name(content: bytes, proves: str) -> str:
    return f"{_SAMPLE}{hashlib.sha256(content + proves.encode()).hexdigest()[:12]}"


def withdrawal(scope: str, name: str, proves: str) -> tuple[str, bytes]:
    """The key and the content of what asks for a sample back."""
    who = "release" if proves else "onboarding"
    asked = json.dumps({"who": who, "when": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}).encode()
    return f"withdrawals/{scope}{name}.json", asked


def send(submissions: Submissions, given: dict[str, Any], *, check: bool) -> dict[str, Any]:
    content = Path(given["src"]).read_bytes()
    scope, name = f"{given['dataset']}/{given['year']}/", sample_name(content, given["proves"])
    report = f"s3://{submissions.data_store}/results/{scope}{name}/report.json"
    uploads = submissions.latest(f"uploads/{scope}")
    state = submissions.report(scope, name)["state"] if name in submissions.reports(scope) else None
    others = {key.rpartition("/")[2] for key in uploads if not key.rpartition("/")[2].startswith(f"{name}.")}
    left = sorted(other for other in others if _IS_SAMPLE.match(other))
    # First, as they would count even where nothing is sent now.
    if not check:
        for other in left:
            put(submissions, *withdrawal(scope, other.partition(".")[0], given["proves"]))
    if state == "withdrawn":
        return {"changed": bool(left), "state": state, "report": report}
    if state is None and len(left) < len(others):
        return {"changed": bool(left), "state": "not sent", "report": report}
    if check:
        return {"changed": True, "state": "would be sent", "report": report}
    told: dict[str, Any] = {"changed": True, "report": report}
    if state != "accepted":
        answer = next_report(submissions, scope, name, f"uploads/{scope}{name}.csv", content, given["wait_timeout"])
        if answer["state"] != "accepted":
            reasons = "; ".join(error["reason"] for error in answer["errors"]["shown"]) or "no reason"
            raise RefusedError(f"The pipeline said {answer['state']} to the sample: {reasons}. Its report is {report}")
        told["rows"] = answer["rows"]["read"]
    key, asked = withdrawal(scope, name, given["proves"])
    return {**told, "state": next_report(submissions, scope, name, key, asked, given["wait_timeout"])["state"]}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    try:
        submissions = Submissions(module.client("s3", retry_decorator=retry), module.params["data_store"])
        module.exit_json(**send(submissions, module.params, check=module.check_mode))
    except (RefusedError, OSError) as reason:
        module.fail_json(msg=str(reason))


if __name__ == "__main__":
    main()
