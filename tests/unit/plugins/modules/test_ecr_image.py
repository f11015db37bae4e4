# SPDX-License-Identifier: GPL-3.0-or-later
"""What ECR may answer to a push, and what becomes of it. Whole pushes: tests/integration/images."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from ansible_collections.localgov.platform.plugins.module_utils import _ecr_upload as ecr
from ansible_collections.localgov.platform.plugins.module_utils import _oci_layout as oci
from ansible_collections.localgov.platform.plugins.modules import ecr_image, ecr_image_info
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from tests.unit.plugins.module_utils.layouts import write_layout

NAME, OTHER = "localgov/frontend", f"sha256:{'1' * 64}"
WHERE = {"registryId": "200000000001", "repositoryName": NAME}
URI = f"200000000001.dkr.ecr.eu-west-2.amazonaws.com/{NAME}"


@pytest.fixture
def stub() -> Stubber:
    client = botocore.session.get_session().create_client(
        "ecr", region_name="eu-west-2", aws_access_key_id="x", aws_secret_access_key="x"
    )
    stubber = Stubber(client)
    stubber.activate()
    return stubber


@pytest.fixture
def repository(stub: Stubber) -> ecr.Repository:
    return ecr.Repository(stub.client, "200000000001", NAME, URI)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_layout(tmp_path / "layout", [b"first layer", b"second layer"])


def read(path: Path) -> oci.Image:
    with oci.open_layout(path) as layout:
        return oci.read_image(layout)


def plan(repository: ecr.Repository, path: Path, tags: list[str] | None = None) -> ecr_image.Plan:
    with oci.open_layout(path) as layout:
        image = oci.read_image(layout)
        return ecr_image.plan(repository, layout, image, ecr_image.wanted_tags(image, tags))


def says_no(stub: Stubber, operation: str, code: str) -> None:
    stub.add_client_error(operation, code)


def has_image(stub: Stubber, digest: str, tags: list[str]) -> None:
    details = {"imageDigest": digest, "imageTags": tags}
    stub.add_response("describe_images", {"imageDetails": [details]})


def has_layers(stub: Stubber, digests: list[str]) -> None:
    layers = [{"layerDigest": digest, "layerAvailability": "AVAILABLE"} for digest in digests]
    stub.add_response("batch_check_layer_availability", {"layers": layers}, {**WHERE, "layerDigests": ANY})


def begins_upload(stub: Stubber, identifier: str, part_size: int) -> None:
    stub.add_response("initiate_layer_upload", {"uploadId": identifier, "partSize": part_size}, WHERE)


def takes_part(stub: Stubber, identifier: str, first: int, part: bytes) -> None:
    wanted = {
        **WHERE,
        "uploadId": identifier,
        "partFirstByte": first,
        "partLastByte": first + len(part) - 1,
        "layerPartBlob": part,
    }
    stub.add_response("upload_layer_part", {}, wanted)


def completes(stub: Stubber, identifier: str, digest: str) -> None:
    stub.add_response("complete_layer_upload", {}, {**WHERE, "uploadId": identifier, "layerDigests": [digest]})


@pytest.fixture
def upload(repository: ecr.Repository, path: Path) -> Callable[[], str]:
    """Upload the layer `first layer`; its digest."""
    blob = next(blob for blob in read(path).blobs if blob.size == len(b"first layer"))

    def uploading() -> str:
        with oci.open_layout(path) as layout:
            ecr.upload(repository, blob, lambda: layout.open(oci.blob_name(blob.digest)))
        return blob.digest

    return uploading


def digest_of(path: Path, size: int) -> str:
    return next(blob.digest for blob in read(path).blobs if blob.size == size)


# --- What is to be done ---


def test_the_default_tag_is_of_the_content_and_given_ones_are_taken_once(path: Path) -> None:
    image = read(path)
    assert ecr_image.wanted_tags(image, None) == ecr_image.wanted_tags(image, []) == [image.digest[7:19]]
    assert ecr_image.wanted_tags(image, ["2", "1", "2"]) == ["2", "1"]


def test_an_image_that_is_there_under_its_tag_is_left_alone(
    stub: Stubber, repository: ecr.Repository, path: Path
) -> None:
    image = read(path)
    has_image(stub, image.digest, [image.default_tag, "other"])
    steps = plan(repository, path)
    assert not steps.changes
    assert ecr_image.result(repository, image, [image.default_tag], steps)["layers"]["pushed"] == []


def test_an_image_that_is_there_gets_another_tag_without_being_sent_again(
    stub: Stubber, repository: ecr.Repository, path: Path
) -> None:
    has_image(stub, read(path).digest, ["old"])
    says_no(stub, "describe_images", "ImageNotFoundException")
    steps = plan(repository, path, ["old", "new"])
    assert (steps.upload, steps.put, steps.add_tags) == ([], False, ["new"])


def test_what_the_repository_has_is_not_sent(stub: Stubber, repository: ecr.Repository, path: Path) -> None:
    image = read(path)
    says_no(stub, "describe_images", "ImageNotFoundException")
    says_no(stub, "describe_images", "ImageNotFoundException")
    has_layers(stub, [digest_of(path, len(b"first layer"))])
    steps = plan(repository, path)
    skipped = ecr_image.result(repository, image, [image.default_tag], steps)["layers"]["skipped"]
    assert skipped == [digest_of(path, len(b"first layer"))]
    assert {blob.digest for blob in image.blobs} == {blob.digest for blob in steps.upload} | set(skipped)


def test_a_tag_of_another_image_is_refused_because_tags_are_immutable(
    stub: Stubber, repository: ecr.Repository, path: Path
) -> None:
    says_no(stub, "describe_images", "ImageNotFoundException")
    has_image(stub, OTHER, ["1.0"])
    with pytest.raises(ecr_image.PushError) as refused:
        plan(repository, path, ["1.0"])
    for part in ("The tag 1.0", URI, OTHER, "immutable", read(path).digest):
        assert part in str(refused.value)


def test_a_damaged_layer_is_refused_before_the_repository_is_asked_for_layers(
    stub: Stubber, repository: ecr.Repository, path: Path
) -> None:
    damaged = path / oci.blob_name(digest_of(path, len(b"second layer")))
    damaged.write_bytes(b"SECOND layer")
    says_no(stub, "describe_images", "ImageNotFoundException")
    says_no(stub, "describe_images", "ImageNotFoundException")
    with pytest.raises(oci.LayoutError, match="damaged"):
        plan(repository, path)
    stub.assert_no_pending_responses()


def test_a_repository_that_is_not_there_is_none_and_a_refusal_is_an_error(stub: Stubber) -> None:
    says_no(stub, "describe_repositories", "RepositoryNotFoundException")
    assert ecr.find_repository(stub.client, NAME, None) is None
    says_no(stub, "describe_repositories", "AccessDeniedException")
    with pytest.raises(ClientError):
        ecr.find_repository(stub.client, NAME, None)


# --- Sending ---


def test_a_layer_goes_in_parts_as_large_as_ecr_asks_for(stub: Stubber, path: Path, upload: Callable[[], str]) -> None:
    begins_upload(stub, "one", 5)
    for first, part in ((0, b"first"), (5, b" laye"), (10, b"r")):
        takes_part(stub, "one", first, part)
    completes(stub, "one", digest_of(path, len(b"first layer")))
    upload()
    stub.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["InvalidLayerPartException", "UploadNotFoundException"])
def test_a_broken_upload_is_begun_again_from_its_first_byte(
    stub: Stubber, path: Path, upload: Callable[[], str], code: str
) -> None:
    begins_upload(stub, "one", 6)
    takes_part(stub, "one", 0, b"first ")
    says_no(stub, "upload_layer_part", code)
    begins_upload(stub, "two", 20)
    takes_part(stub, "two", 0, b"first layer")
    completes(stub, "two", digest_of(path, len(b"first layer")))
    upload()
    stub.assert_no_pending_responses()


def test_an_upload_that_always_breaks_is_given_up_with_its_layer_named(
    stub: Stubber, path: Path, upload: Callable[[], str]
) -> None:
    for _ in range(3):
        begins_upload(stub, "one", 20)
        says_no(stub, "upload_layer_part", "UploadNotFoundException")
    with pytest.raises(ecr.UploadError) as given_up:
        upload()
    assert digest_of(path, len(b"first layer")) in str(given_up.value)
    assert "broke 3 times" in str(given_up.value)
    assert "Run this again" in str(given_up.value)


def test_a_layer_that_somebody_else_completed_first_counts_as_sent(stub: Stubber, upload: Callable[[], str]) -> None:
    begins_upload(stub, "one", 20)
    takes_part(stub, "one", 0, b"first layer")
    says_no(stub, "complete_layer_upload", "LayerAlreadyExistsException")
    assert upload()


def test_what_is_no_broken_upload_is_not_tried_again(stub: Stubber, upload: Callable[[], str]) -> None:
    says_no(stub, "initiate_layer_upload", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        upload()
    stub.assert_no_pending_responses()


def test_an_image_that_somebody_else_made_known_first_counts_as_pushed(
    stub: Stubber, repository: ecr.Repository, path: Path
) -> None:
    manifest = read(path).manifests[-1]
    says_no(stub, "put_image", "ImageAlreadyExistsException")
    ecr.put(repository, manifest, "1.0")
    says_no(stub, "put_image", "ImageTagAlreadyExistsException")
    with pytest.raises(
        ecr.UploadError, match=r"somebody gave its tag 1.0 of .* to another image. Tags are immutable: run"
    ):
        ecr.put(repository, manifest, "1.0")


def test_which_image_is_run_is_recorded_on_the_repository_beside_its_other_tags(stub: Stubber) -> None:
    arn = "arn:aws:ecr:eu-west-2:200000000001:repository/localgov/frontend"
    repository = ecr.Repository(stub.client, "200000000001", NAME, URI, arn)
    platform = {"Key": "platform", "Value": "localgov"}
    stub.add_response("list_tags_for_resource", {"tags": [platform]}, {"resourceArn": arn})
    assert ecr.current_digest(repository) is None
    recorded = {"Key": "current-digest", "Value": OTHER}
    stub.add_response("tag_resource", {}, {"resourceArn": arn, "tags": [recorded]})
    ecr.record_current(repository, OTHER)
    stub.add_response("list_tags_for_resource", {"tags": [platform, recorded]}, {"resourceArn": arn})
    assert ecr.current_digest(repository) == OTHER


def test_a_refusal_says_where_and_what_is_needed(stub: Stubber, repository: ecr.Repository) -> None:
    says_no(stub, "describe_images", "AccessDeniedException")
    with pytest.raises(ClientError) as refused:
        ecr.images(repository)
    told = ecr.failure("read it", refused.value, "200000000001", "eu-west-2", "ecr:DescribeImages")
    assert "in account 200000000001, region eu-west-2: this task's identity needs ecr:DescribeImages on the" in told


# --- Telling ---


def test_the_newest_tagged_image_comes_first_over_all_pages(stub: Stubber, repository: ecr.Repository) -> None:
    def pushed(day: int, tags: list[str]) -> dict[str, Any]:
        at = datetime.datetime(2026, 11, day, tzinfo=datetime.UTC)
        return {"imageDigest": f"sha256:{day:064d}", "imageTags": tags, "imagePushedAt": at, "imageSizeInBytes": day}

    tagged = {**WHERE, "filter": {"tagStatus": "TAGGED"}}
    stub.add_response(
        "describe_images", {"imageDetails": [pushed(3, ["c"]), pushed(9, [])], "nextToken": "more"}, tagged
    )
    stub.add_response("describe_images", {"imageDetails": [pushed(5, ["e", "d"])]}, {**tagged, "nextToken": "more"})
    told = [ecr_image_info.told(repository, detail) for detail in ecr.images(repository)]
    assert [image["tags"] for image in told] == [["d", "e"], ["c"]]
    assert told[0]["uri"] == f"{URI}@sha256:{5:064d}"
    assert told[0]["pushed_at"] == "2026-11-05T00:00:00+00:00"


class Module:
    """What of Ansible's module is used here."""

    check_mode = False

    def __init__(self, client: Any, *, digest: str, current: bool = True) -> None:  # noqa: ANN401  a client
        self._client = client
        self.params = {"repository": NAME, "registry_id": None, "layout": None, "digest": digest, "current": current}

    def client(self, service: str) -> Any:  # noqa: ANN401
        return self._client


def has_repository(stub: Stubber) -> None:
    arn = f"arn:aws:ecr:eu-west-2:200000000001:repository/{NAME}"
    found = {"repositoryUri": URI, "repositoryName": NAME, "registryId": "200000000001", "repositoryArn": arn}
    stub.add_response("describe_repositories", {"repositories": [found]})


@pytest.mark.parametrize(("recorded", "changes"), [(OTHER, False), (f"sha256:{'2' * 64}", True)])
def test_an_image_that_was_pushed_before_is_recorded_as_the_one_that_is_run(
    stub: Stubber, recorded: str, changes: bool
) -> None:
    has_repository(stub)
    has_image(stub, OTHER, [])
    stub.add_response("list_tags_for_resource", {"tags": [{"Key": "current-digest", "Value": recorded}]})
    if changes:
        stub.add_response("tag_resource", {}, {"resourceArn": ANY, "tags": [{"Key": "current-digest", "Value": OTHER}]})
    module: Any = Module(stub.client, digest=OTHER)
    assert ecr_image.run(module) == {"changed": changes, "digest": OTHER, "uri": f"{URI}@{OTHER}"}
    stub.assert_no_pending_responses()


def test_an_image_that_was_never_pushed_is_not_recorded(stub: Stubber) -> None:
    has_repository(stub)
    says_no(stub, "describe_images", "ImageNotFoundException")
    module: Any = Module(stub.client, digest=OTHER)
    with pytest.raises(ecr_image.PushError, match=r"has no image sha256:1+[.] Push it first"):
        ecr_image.run(module)
