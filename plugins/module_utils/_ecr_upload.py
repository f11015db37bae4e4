# SPDX-License-Identifier: GPL-3.0-or-later
"""An ECR repository: what is in it, and how blobs and manifests get into it, by ECR's own API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from ansible_collections.localgov.platform.plugins.module_utils._oci_layout import Blob, Manifest

# The tag of a repository, not of an image: those are immutable.
CURRENT = "current-digest"
_ATTEMPTS = 3  # for one blob
_DIGESTS_AT_ONCE = 100  # as ECR limits BatchCheckLayerAvailability
# The upload is not what we believe it is, or has expired: it can only be begun again.
_BROKEN_UPLOAD = frozenset({"UploadNotFoundException", "InvalidLayerPartException"})


class UploadError(Exception):
    """Why a blob did not get into the repository."""


@dataclass(frozen=True)
class Repository:
    """A repository that is there."""

    client: Any  # of boto3, for ECR
    registry_id: str
    name: str
    uri: str
    arn: str = ""

    def call(self, operation: str, **parameters: object) -> dict[str, Any]:
        where = {"registryId": self.registry_id, "repositoryName": self.name}
        answer: dict[str, Any] = _call(self.client, operation, **where, **parameters)
        return answer


def failure(doing: str, reason: Exception, account: str, region: str, permissions: str) -> str:
    """What could not be done, where, and after a refusal what the session needs."""
    text = f"Cannot {doing} in account {account or 'unknown'}, region {region}"
    if isinstance(reason, ClientError) and "AccessDenied" in _code(reason):
        return f"{text}: this task's identity needs {permissions} on the repository, with nothing denying it"
    return text


def account_of(client: Any) -> str:  # noqa: ANN401 - boto3's, for STS
    """The account of the session, for an error's text; empty where even that cannot be learned."""
    try:
        return str(client.get_caller_identity()["Account"])
    except (ClientError, BotoCoreError):
        return ""


def find_repository(client: Any, name: str, registry_id: str | None) -> Repository | None:  # noqa: ANN401
    """The repository; None when there is none."""
    registry = {"registryId": registry_id} if registry_id else {}
    try:
        answer = _call(client, "describe_repositories", repositoryNames=[name], **registry)
    except ClientError as reason:
        if _code(reason) == "RepositoryNotFoundException":
            return None
        raise
    found = answer["repositories"][0]
    return Repository(client, found["registryId"], name, found["repositoryUri"], found["repositoryArn"])


def image(repository: Repository, **wanted: str) -> dict[str, Any] | None:
    """The image with this ``imageDigest`` or ``imageTag``, as DescribeImages tells it; None when there is none."""
    try:
        return dict(repository.call("describe_images", imageIds=[wanted])["imageDetails"][0])
    except ClientError as reason:
        if _code(reason) == "ImageNotFoundException":
            return None
        raise


def images(repository: Repository) -> list[dict[str, Any]]:
    """All tagged images, as DescribeImages tells them, the one that was pushed last first."""
    found: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {"filter": {"tagStatus": "TAGGED"}}
    while True:
        answer = repository.call("describe_images", **parameters)
        found += [detail for detail in answer["imageDetails"] if detail.get("imageTags")]
        if not answer.get("nextToken"):
            return sorted(found, key=lambda detail: detail["imagePushedAt"], reverse=True)
        parameters["nextToken"] = answer["nextToken"]


def current_digest(repository: Repository) -> str | None:
    """Which image of the repository was recorded as the one that is run. The last one pushed may be another."""
    found = _call(repository.client, "list_tags_for_resource", resourceArn=repository.arn).get("tags") or []
    return next((str(tag["Value"]) for tag in found if tag["Key"] == CURRENT), None)


def record_current(repository: Repository, digest: str) -> None:
    tag = {"Key": CURRENT, "Value": digest}
    _call(repository.client, "tag_resource", resourceArn=repository.arn, tags=[tag])


def missing_blobs(repository: Repository, blobs: Iterable[Blob]) -> list[Blob]:
    """Those of the blobs that the repository does not have."""
    wanted = {blob.digest: blob for blob in blobs}
    digests = list(wanted)
    for start in range(0, len(digests), _DIGESTS_AT_ONCE):
        asked = digests[start : start + _DIGESTS_AT_ONCE]
        answer = repository.call("batch_check_layer_availability", layerDigests=asked)
        for layer in answer["layers"]:
            if layer["layerAvailability"] == "AVAILABLE":
                wanted.pop(layer["layerDigest"], None)
    return list(wanted.values())


def upload(repository: Repository, blob: Blob, opened: Callable[[], IO[bytes]]) -> None:
    """Bring one blob into the repository, from its beginning again when its upload breaks.

    Raises UploadError when it breaks every time, and botocore's errors for all else.
    """
    for _attempt in range(_ATTEMPTS):
        try:
            _upload_once(repository, blob, opened)
        except ClientError as reason:
            if _code(reason) == "LayerAlreadyExistsException":  # somebody else was faster
                return
            if _code(reason) not in _BROKEN_UPLOAD:
                raise
            broken = reason
        else:
            return
    raise UploadError(
        f"The upload of {blob.digest} to {repository.uri} broke {_ATTEMPTS} times: {broken}. Run this again, which "
        "sends only what the repository does not have; if it breaks again, look whether somebody else pushes the same "
        "image, and at the connection to ECR."
    ) from broken


def put(repository: Repository, manifest: Manifest, tag: str | None = None) -> None:
    """Make the manifest known, under the tag if there is one."""
    tagged = {"imageTag": tag} if tag else {}
    try:
        repository.call(
            "put_image",
            imageManifest=manifest.content.decode(),
            imageManifestMediaType=manifest.media_type,
            imageDigest=manifest.digest,
            **tagged,
        )
    except ClientError as reason:
        if _code(reason) == "ImageTagAlreadyExistsException":
            raise UploadError(
                f"While {manifest.digest} was pushed, somebody gave its tag {tag} of {repository.uri} to another image."
                " Tags are immutable: run this again, with another tag, or without one, which takes one from the "
                "content."
            ) from reason
        if _code(reason) != "ImageAlreadyExistsException":
            raise


def _upload_once(repository: Repository, blob: Blob, opened: Callable[[], IO[bytes]]) -> None:
    begun = repository.call("initiate_layer_upload")
    first = 0
    with opened() as stream:
        for part in _parts(stream, int(begun["partSize"])):
            repository.call(
                "upload_layer_part",
                uploadId=begun["uploadId"],
                partFirstByte=first,
                partLastByte=first + len(part) - 1,
                layerPartBlob=part,
            )
            first += len(part)
    repository.call("complete_layer_upload", uploadId=begun["uploadId"], layerDigests=[blob.digest])


def _parts(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while part := stream.read(size):
        yield part


@AWSRetry.jittered_backoff(retries=6, catch_extra_error_codes=["ServerException"])  # type: ignore[untyped-decorator]
def _call(client: Any, operation: str, **parameters: object) -> dict[str, Any]:  # noqa: ANN401
    answer: dict[str, Any] = getattr(client, operation)(**parameters)
    return answer


def _code(reason: ClientError) -> str:
    return str(reason.response["Error"]["Code"])
