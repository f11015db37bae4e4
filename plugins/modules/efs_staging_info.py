#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what lies in a staging area and among its uploads."""

from __future__ import annotations

DOCUMENTATION = r"""
module: efs_staging_info
short_description: Tell what lies in a staging area and among its uploads right now
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Asks the workflow that the role C(add_users_stepfn) keeps what lies in its staging area and in its upload bucket, by
    names and ages and without any content, so that "nothing is left" can be asked at any time.
options:
  function:
    description:
      - The function that looks, as the role calls it, C(<prefix>-<task>-look).
    type: str
    default: localgov-add-users-look
notes:
  - The caller needs C(lambda:InvokeFunction) on the function.
extends_documentation_fragment:
  - localgov.platform.information
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: localgov.platform.efs_staging
"""

EXAMPLES = r"""
- name: Ask what is left
  localgov.platform.efs_staging_info:
  register: left

- name: Expect nothing
  ansible.builtin.assert:
    that: left.empty
"""

RETURN = r"""
staged:
  description: The folders of the staging area, each of one execution.
  returned: always
  type: list
  elements: dict
  contains:
    area:
      description: V(files) for copies of uploads, V(results) for what tasks say of them.
      type: str
      sample: files
    name:
      description: The name of the execution.
      type: str
      sample: 0f343b0931126a20f133d67c2b018a3b0f343b0931126a20f133d67c2b018a3b
    age:
      description: Seconds since it was changed last.
      type: int
      sample: 12
uploads:
  description: Every version of every object in the upload bucket, and every mark of a deletion.
  returned: always
  type: list
  elements: dict
  contains:
    key:
      description: The object.
      type: str
      sample: uploads/alice/users.jsonl
    version:
      description: The version.
      type: str
      sample: 3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY
    age:
      description: Seconds since it was written.
      type: int
      sample: 14
empty:
  description: Whether there is neither.
  returned: always
  type: bool
  sample: true
"""

import json
from contextlib import suppress

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={"function": {"type": "str", "default": "localgov-add-users-look"}}, supports_check_mode=True
    )
    function = module.params["function"]
    try:
        answer = module.client("lambda").invoke(FunctionName=function, Payload=b"{}")
        found = json.loads(answer["Payload"].read())
    except (ClientError, BotoCoreError) as reason:
        module.fail_json_aws(reason, msg=f"Cannot ask {function}; the role add_users_stepfn makes it")
    if answer.get("FunctionError"):
        module.fail_json(msg=f"{function} could not look: {found.get('errorMessage')}.")
    module.exit_json(changed=False, empty=not found["staged"] and not found["uploads"], **found)


if __name__ == "__main__":
    main()
