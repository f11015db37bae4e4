#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let one run at a time deploy an account."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_lock
short_description: Let one run at a time deploy an account
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Takes or gives back a lock, which is an object in a bucket of the account. S3 decides who was first, by a
    conditional write; there is nothing to be set up but the bucket.
  - The lock names its owner, and expires. One that has expired is taken over, and so is one of a run on this machine
    whose process is gone. Any other is left alone, unless its owner is named in O(take_from).
  - Whether a lock has expired goes by the clock of S3, not by the operator's.
  - The lock is no part of what is deployed, so this module never reports a change.
options:
  state:
    description:
      - V(held) takes the lock, and renews it if this run has it, so that O(lasts) begins anew. With O(left_in) it is
        renewed once a quarter of that is over; until then nobody is asked.
      - V(released) gives it back, if this run has it. If another run had it meanwhile, that is said as a warning. Where
        it cannot be given back there is a warning and no failure, as the lock expires.
    type: str
    choices: [held, released]
    default: held
  bucket:
    description:
      - The bucket, which must not be versioned.
    type: str
    required: true
  object:
    description:
      - The key of the object that is the lock.
    type: str
    default: lock.json
  owner:
    description:
      - Who takes the lock, as others are told.
    type: str
    required: true
  run:
    description:
      - The run of Ansible, as the lookup P(localgov.platform.this_run#lookup) names it.
    type: str
    required: true
  lasts:
    description:
      - After how many seconds the lock expires. No run should take longer without renewing it.
    type: int
    default: 14400
  prepared:
    description:
      - Whether the bucket is certainly as it should be, because a task before has made it so. Otherwise a lock is not
        taken in a bucket that has never had one.
    type: bool
    default: false
  take_from:
    description:
      - The owner from whom the lock is taken although it has not expired. Two runs at once are refused by
        CloudFormation stack by stack, and by nothing else.
    type: str
    default: ""
  left_in:
    description:
      - A directory that only its owner can enter and that goes with the run, as the lookup
        P(localgov.platform.this_run#lookup) names it. There it is written how the lock is given back, with the
        session's credentials, for the process that waits for the end of the run.
      - So the lock is given back also where the run is aborted or killed, and an account costs three calls for it
        where it would cost six.
    type: path
attributes:
  check_mode:
    support: full
    description: Nothing is taken and nothing looked at, as a rehearsal is in nobody's way.
  diff_mode:
    support: none
    description: There is nothing to compare.
requirements:
  - python >= 3.11
  - botocore >= 1.35.70, which knows the condition C(IfMatch) of C(PutObject)
notes:
  - Permissions that the task's identity needs - C(s3:GetObject) and C(s3:PutObject) on the object, and
    C(s3:ListBucket) on the bucket.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - plugin: localgov.platform.this_run
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Let nobody else deploy the account meanwhile
  localgov.platform.deployment_lock: &lock
    bucket: localgov-012345670123-rollout
    owner: "{{ lookup('localgov.platform.this_run').operator }}"
    run: "{{ lookup('localgov.platform.this_run').run }}"
    left_in: "{{ lookup('localgov.platform.this_run').directory }}"

- name: Give the lock back
  localgov.platform.deployment_lock:
    <<: *lock
    state: released
"""

RETURN = r"""
held:
  description: Whether this run has the lock now.
  returned: success
  type: bool
prepared:
  description:
    - Whether there was a lock in the bucket before, or O(prepared) said that it is as it should be. If not, nothing was
      taken; make the bucket and set O(prepared).
  returned: success
  type: bool
"""

import json
import math
import os
import time
from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils._deployment_lock import (
    FREE,
    Claim,
    Client,
    HeldByOtherError,
    NotPreparedError,
    release,
    run_is_over,
    take,
    text_of,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
    "bucket": {"type": "str", "required": True},
    "object": {"type": "str", "default": "lock.json"},
    "owner": {"type": "str", "required": True},
    "run": {"type": "str", "required": True},
    "lasts": {"type": "int", "default": 14400},
    "prepared": {"type": "bool", "default": False},
    "take_from": {"type": "str", "default": ""},
    "left_in": {"type": "path"},
}
# What a process needs to act with this task's session.
_SESSION = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE",
)


def _give_back(module: AnsibleAWSModule, s3: Client, claim: Claim) -> None:
    """What was deployed has not failed because a lock is left: it expires."""
    try:
        lost = release(s3, module.params["bucket"], module.params["object"], claim, _remembered(module).get("tag", ""))
    except RefusedError as refused:
        module.warn(f"The lock is left, and goes when this run has ended or it expires. {refused}")
        module.exit_json(changed=False, held=True, prepared=True)
    _forget(module)
    if lost:
        module.warn(lost)
    module.exit_json(changed=False, held=False, prepared=True)


def _hold(module: AnsibleAWSModule, s3: Client, claim: Claim) -> None:
    given = module.params
    if 0 <= time.time() - _remembered(module).get("taken", math.inf) < claim.lasts / 4:
        module.exit_json(changed=False, held=True, prepared=True)
    # Before, as the run may be killed between the two.
    _remember(module, claim)
    try:
        taken = take(
            s3,
            given["bucket"],
            given["object"],
            claim,
            prepared=given["prepared"],
            take_from=given["take_from"],
            is_over=run_is_over,
        )
    except NotPreparedError:
        _forget(module)
        module.exit_json(changed=False, held=False, prepared=False)
    except HeldByOtherError as refused:
        _forget(module)
        module.fail_json(msg=str(refused))
    except RefusedError as refused:
        module.fail_json(msg=str(refused))
    _remember(module, claim, tag=taken.tag, taken=time.time())
    if taken.because:
        module.warn(taken.because)
    module.exit_json(changed=False, held=True, prepared=True)


def _remember(module: AnsibleAWSModule, claim: Claim, **more: str | float) -> None:
    """Writes down how the lock is given back if this run does not come to it, and `more`."""
    given = module.params
    if not given["left_in"]:
        return
    left = {
        "bucket": given["bucket"],
        "key": given["object"],
        "run": claim.run,
        "free": text_of(FREE),
        "environment": {name: os.environ[name] for name in _SESSION if name in os.environ},
        **more,
    }
    with os.fdopen(os.open(_file(given), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(left, file)


def _remembered(module: AnsibleAWSModule) -> dict[str, Any]:
    """What was written down of this run's lock; empty where it has none, or keeps no such note."""
    if not module.params["left_in"] or not _file(module.params).exists():
        return {}
    written: dict[str, Any] = json.loads(_file(module.params).read_text(encoding="utf-8"))
    return written if written["run"] == module.params["run"] else {}


def _forget(module: AnsibleAWSModule) -> None:
    if module.params["left_in"]:
        _file(module.params).unlink(missing_ok=True)


def _file(given: dict[str, Any]) -> Path:
    return Path(given["left_in"]) / f"{given['bucket']}.json"


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    if module.check_mode:
        module.exit_json(changed=False, held=False, prepared=True)
    claim = Claim(given["owner"], given["run"], given["lasts"])
    s3 = module.client("s3", retry_decorator=AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10))
    if given["state"] == "held":
        _hold(module, s3, claim)
    _give_back(module, s3, claim)


if __name__ == "__main__":
    main()
