#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the images of an ECR repository."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ecr_image_info
short_description: Tell which images an Amazon ECR repository has
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Tells the tagged images of a repository, the one that was pushed last first, and which one was recorded as the one
    that is run.
notes:
  - The caller needs C(ecr:DescribeRepositories), C(ecr:DescribeImages) and C(ecr:ListTagsForResource) on the
    repository.
extends_documentation_fragment:
  - localgov.platform.repository
  - localgov.platform.information
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: localgov.platform.ecr_image
"""

EXAMPLES = r"""
- name: Ask for the newest image of the frontend
  localgov.platform.ecr_image_info:
    repository: localgov/frontend
  register: frontend

- name: Show it by its digest
  ansible.builtin.debug:
    msg: "{{ frontend.images[0].uri }}"
"""

RETURN = r"""
images:
  description: The tagged images, the one that was pushed last first. Empty when there is no such repository.
  returned: always
  type: list
  elements: dict
  contains:
    digest:
      description: The digest of the manifest or index.
      type: str
      sample: sha256:e4816f86c8ec443982da9acb3f9d63f06bc06c85ed84dfa062ceb8feeca2dddd
    tags:
      description: Its tags.
      type: list
      elements: str
      sample: [e4816f86c8ec]
    uri:
      description: The image by its digest, as task definitions name it.
      type: str
      sample: 200000000001.dkr.ecr.eu-west-2.amazonaws.com/localgov/frontend@sha256:e4816f86c8ec...
    pushed_at:
      description: When it was pushed, ISO 8601.
      type: str
      sample: "2026-11-21T10:15:31+00:00"
    size:
      description: Bytes of its compressed layers.
      type: int
      sample: 102400
current_digest:
  description:
    - The digest that M(localgov.platform.ecr_image) with O(localgov.platform.ecr_image#module:current=true) recorded
      last. Null when none was.
  returned: always
  type: str
  sample: sha256:e4816f86c8ec443982da9acb3f9d63f06bc06c85ed84dfa062ceb8feeca2dddd
repository_exists:
  description: Whether there is such a repository.
  returned: always
  type: bool
  sample: true
"""

from contextlib import suppress
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.localgov.platform.plugins.module_utils import _ecr_upload as ecr

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError


def told(repository: ecr.Repository, detail: dict[str, Any]) -> dict[str, Any]:
    return {
        "digest": detail["imageDigest"],
        "tags": sorted(detail["imageTags"]),
        "uri": f"{repository.uri}@{detail['imageDigest']}",
        "pushed_at": detail["imagePushedAt"].isoformat(),
        "size": detail.get("imageSizeInBytes"),
    }


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={"repository": {"type": "str", "required": True}, "registry_id": {"type": "str"}},
        supports_check_mode=True,
    )
    name, registry_id = module.params["repository"], module.params["registry_id"]
    try:
        repository = ecr.find_repository(module.client("ecr"), name, registry_id)
        found = [told(repository, detail) for detail in ecr.images(repository)] if repository else []
        current = ecr.current_digest(repository) if repository else None
    except (ClientError, BotoCoreError) as reason:
        account = registry_id or ecr.account_of(module.client("sts"))
        permissions = "ecr:DescribeRepositories, DescribeImages and ListTagsForResource"
        doing = f"read the images of {name}"
        module.fail_json_aws(reason, msg=ecr.failure(doing, reason, account, module.region, permissions))
    module.exit_json(changed=False, images=found, current_digest=current, repository_exists=repository is not None)


if __name__ == "__main__":
    main()
