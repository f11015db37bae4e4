#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Push an OCI image layout to ECR."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ecr_image
short_description: Push an OCI image layout to Amazon ECR
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Pushes an image that lies as an OCI image layout on the control node, by ECR's own API. No container engine is
    needed there, no registry login and no C(docker) configuration.
  - C(docker buildx build --output type=oci), C(buildah push oci-archive:) and kaniko's C(--oci-layout-path) write
    such layouts.
  - The digest of every blob is checked before anything is sent. Layers that the repository has already are skipped, so
    that a push which was interrupted goes on where it was; an upload that breaks is begun again, for that layer only.
  - A tag is never moved. A tag that another image has is an error, whatever the repository allows.
options:
  layout:
    description:
      - The layout - a folder with C(oci-layout), C(index.json) and C(blobs/), or an uncompressed tar archive of one.
    type: path
  digest:
    description:
      - Instead of O(layout), an image that the repository has already, by its digest. Nothing is pushed then; it is for
        O(current) alone.
    type: str
  tags:
    description:
      - The tags that the image shall have. Others that it has already stay.
      - By default one that is taken from the content - the first twelve hexadecimal digits of the digest.
    type: list
    elements: str
  platform:
    description:
      - Push only the part of a multi-platform image that is for this platform, such as V(linux/amd64).
      - By default everything is pushed, the index and the images it names.
      - An image for another platform than this is refused.
    type: str
  current:
    description:
      - Also record the image as the one that is run, in the tag C(current-digest) of the repository itself.
        M(localgov.platform.ecr_image_info) tells it. An older image that is run again is pushed no second time, so the
        one that was pushed last need not be it.
    type: bool
    default: false
attributes:
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
notes:
  - The caller needs C(ecr:DescribeRepositories), C(ecr:DescribeImages), C(ecr:BatchCheckLayerAvailability),
    C(ecr:InitiateLayerUpload), C(ecr:UploadLayerPart), C(ecr:CompleteLayerUpload) C(ecr:PutImage), and for O(current)
    C(ecr:ListTagsForResource) and C(ecr:TagResource), on the repository.
  - An image that is there already is known by its manifest's digest alone; its blobs are not read again then.
  - In check mode a repository that does not exist yet is no error, because a playbook may be about to make it.
extends_documentation_fragment:
  - localgov.platform.prediction
  - localgov.platform.repository
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: localgov.platform.ecr_image_info
  - module: community.aws.ecs_ecr
"""

EXAMPLES = r"""
- name: Push what buildx wrote, under a tag taken from the content
  localgov.platform.ecr_image:
    layout: build/frontend.tar
    repository: localgov/frontend
  register: frontend

- name: Run it by digest, which nobody can move
  ansible.builtin.debug:
    msg: "{{ frontend.uri }}"

- name: Push one platform of a multi-platform image, as a release
  localgov.platform.ecr_image:
    layout: build/code-server
    repository: localgov/code-server
    platform: linux/amd64
    tags: ["2026.11"]
"""

RETURN = r"""
digest:
  description: The digest of the manifest or, for a multi-platform image, of the index.
  returned: always
  type: str
  sample: sha256:e4816f86c8ec443982da9acb3f9d63f06bc06c85ed84dfa062ceb8feeca2dddd
tag:
  description: The first of RV(tags).
  returned: with O(layout)
  type: str
  sample: e4816f86c8ec
tags:
  description: The tags that the image was asked to have.
  returned: with O(layout)
  type: list
  elements: str
  sample: [e4816f86c8ec]
uri:
  description: The image by its digest, as task definitions name it. Null in check mode, when the repository is missing.
  returned: always
  type: str
  sample: 200000000001.dkr.ecr.eu-west-2.amazonaws.com/localgov/frontend@sha256:e4816f86c8ec...
layers:
  description: The digests of the image's blobs, which are its layers and its configuration.
  returned: with O(layout)
  type: dict
  contains:
    pushed:
      description: What was sent, or would be.
      type: list
      elements: str
    skipped:
      description: What the repository had already.
      type: list
      elements: str
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.localgov.platform.plugins.module_utils import _ecr_upload as ecr
from ansible_collections.localgov.platform.plugins.module_utils import _oci_layout as oci

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError


_PERMISSIONS = (
    "ecr:DescribeRepositories, DescribeImages, BatchCheckLayerAvailability, InitiateLayerUpload, UploadLayerPart, "
    "CompleteLayerUpload and PutImage, and with `current` ListTagsForResource and TagResource,"
)


class PushError(Exception):
    """Why the image cannot be pushed, and what to do."""


@dataclass(frozen=True)
class Plan:
    """What is to be done so that the repository has the image under its tags."""

    upload: list[oci.Blob] = field(default_factory=list)
    put: bool = False  # the manifests, which are not there
    add_tags: list[str] = field(default_factory=list)
    present_tags: list[str] = field(default_factory=list)
    record: bool = False  # as the one that is run

    @property
    def changes(self) -> bool:
        return self.put or bool(self.add_tags) or self.record


def wanted_tags(image: oci.Image, given: list[str] | None) -> list[str]:
    return list(dict.fromkeys(given or [])) or [image.default_tag]


def plan(repository: ecr.Repository, layout: oci.Layout, image: oci.Image, tags: list[str]) -> Plan:
    """Compare. Raises PushError for a tag of another image, LayoutError before a damaged image would be sent."""
    present = ecr.image(repository, imageDigest=image.digest)
    present_tags = sorted((present or {}).get("imageTags") or [])
    add_tags = [tag for tag in tags if tag not in present_tags]
    for tag in add_tags:
        _refuse_taken(repository, image, tag)
    if present is not None:
        return Plan(add_tags=add_tags, present_tags=present_tags)
    oci.verify(layout, image.blobs)
    return Plan(ecr.missing_blobs(repository, image.blobs), True, add_tags)


def push(repository: ecr.Repository, layout: oci.Layout, image: oci.Image, steps: Plan) -> None:
    """Blobs first, then the manifests that refer to them, and the tags with the last."""
    for blob in steps.upload:
        ecr.upload(repository, blob, partial(layout.open, oci.blob_name(blob.digest)))
    if steps.put:
        for manifest in image.manifests[:-1]:
            ecr.put(repository, manifest)
    for tag in steps.add_tags:
        ecr.put(repository, image.manifests[-1], tag)
    if steps.record:
        ecr.record_current(repository, image.digest)


def result(repository: ecr.Repository | None, image: oci.Image, tags: list[str], steps: Plan) -> dict[str, Any]:
    pushed = [blob.digest for blob in steps.upload]
    before = {"tags": steps.present_tags} if not steps.put else {}
    return {
        "changed": steps.changes,
        "digest": image.digest,
        "tag": tags[0],
        "tags": tags,
        "uri": f"{repository.uri}@{image.digest}" if repository else None,
        "layers": {
            "pushed": pushed,
            "skipped": [blob.digest for blob in image.blobs if blob.digest not in pushed],
        },
        "diff": {
            "before_header": image.digest,
            "after_header": image.digest,
            "before": before,
            "after": {
                "tags": sorted({*steps.present_tags, *tags}),
                **({"recorded as current": True} if steps.record else {}),
            },
        },
    }


def _refuse_taken(repository: ecr.Repository, image: oci.Image, tag: str) -> None:
    other = ecr.image(repository, imageTag=tag)
    if other is not None:
        raise PushError(
            f"The tag {tag} of {repository.uri} is already that of another image, {other['imageDigest']}. Tags are "
            f"immutable: what is deployed under one must not change. Push {image.digest} under another tag, or without "
            f"one, which takes {image.default_tag} from its content."
        )


def record(module: AnsibleAWSModule) -> dict[str, Any]:
    """Record an image that was pushed before as the one that is run."""
    name, registry_id, digest = (module.params[option] for option in ("repository", "registry_id", "digest"))
    repository = ecr.find_repository(module.client("ecr"), name, registry_id)
    if repository is None or ecr.image(repository, imageDigest=digest) is None:
        raise PushError(f"The repository {name} has no image {digest}. Push it first, with `layout`.")
    changed = module.params["current"] and ecr.current_digest(repository) != digest
    if changed and not module.check_mode:
        ecr.record_current(repository, digest)
    return {"changed": changed, "digest": digest, "uri": f"{repository.uri}@{digest}"}


def run(module: AnsibleAWSModule) -> dict[str, Any]:
    if module.params["digest"]:
        return record(module)
    name, registry_id = module.params["repository"], module.params["registry_id"]
    with oci.open_layout(Path(module.params["layout"])) as layout:
        image = oci.read_image(layout, module.params["platform"])
        tags = wanted_tags(image, module.params["tags"])
        repository = ecr.find_repository(module.client("ecr"), name, registry_id)
        if repository is None:
            if module.check_mode:
                oci.verify(layout, image.blobs)
                return result(None, image, tags, Plan(image.blobs, True, tags, record=module.params["current"]))
            where = f"account {registry_id}" if registry_id else "this account"
            raise PushError(
                f"There is no repository {name} in {where}, region {module.region}. Make it: the role org_ecr does."
            )
        steps = plan(repository, layout, image, tags)
        if module.params["current"]:
            steps = replace(steps, record=ecr.current_digest(repository) != image.digest)
        if steps.changes and not module.check_mode:
            push(repository, layout, image, steps)
        return result(repository, image, tags, steps)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "layout": {"type": "path"},
            "digest": {"type": "str"},
            "repository": {"type": "str", "required": True},
            "registry_id": {"type": "str"},
            "tags": {"type": "list", "elements": "str"},
            "platform": {"type": "str"},
            "current": {"type": "bool", "default": False},
        },
        mutually_exclusive=[("layout", "digest")],
        required_one_of=[("layout", "digest")],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except (oci.LayoutError, ecr.UploadError, PushError) as reason:
        module.fail_json(msg=str(reason))
    except (ClientError, BotoCoreError) as reason:
        account = module.params["registry_id"] or ecr.account_of(module.client("sts"))
        doing = f"push {module.params['layout'] or module.params['digest']} to {module.params['repository']}"
        module.fail_json_aws(reason, msg=ecr.failure(doing, reason, account, module.region, _PERMISSIONS))


if __name__ == "__main__":
    main()
