# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""The sandbox's ECR keeps what it is sent, tells what it has, and refuses what ECR refuses."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox
from tests.sandbox.runtime import registry

MEBIBYTE = 1024 * 1024


@pytest.fixture
def ecr(sandbox: Sandbox) -> Any:
    return sandbox.client("ecr", sandbox.root("hub"))


@pytest.fixture
def repository(ecr: Any, unique: str) -> str:
    ecr.create_repository(repositoryName=unique, imageTagMutability="IMMUTABLE")
    return unique


def code(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return str(refused.value.response["Error"]["Code"])


def available(ecr: Any, repository: str, *digests: str) -> list[str]:
    answer = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=list(digests))
    return [layer["layerAvailability"] for layer in answer["layers"]]


def fetched(sandbox: Sandbox, link: str) -> bytes:
    context = ssl.create_default_context(cafile=sandbox.description["ca_bundle"])
    with urllib.request.urlopen(link, context=context, timeout=10) as answer:  # noqa: S310  the sandbox's own link
        return bytes(answer.read())


def link_to(ecr: Any, repository: str, digest: str) -> str:
    return str(ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=digest)["downloadUrl"])


def test_a_layer_is_missing_until_it_was_sent_whole(ecr: Any, repository: str) -> None:
    blob = b"content"
    digest = registry.digest_of(blob)
    assert available(ecr, repository, digest) == ["UNAVAILABLE"]
    begun = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    sent = {"repositoryName": repository, "uploadId": begun}
    ecr.upload_layer_part(partFirstByte=0, partLastByte=6, layerPartBlob=blob, **sent)
    assert available(ecr, repository, digest) == ["UNAVAILABLE"]
    ecr.complete_layer_upload(layerDigests=[digest], **sent)
    other = registry.digest_of(b"other")
    answer = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest, other, "sha256:x"])
    assert [layer.get("layerSize") for layer in answer["layers"]] == [len(blob), None]
    assert [failure["layerDigest"] for failure in answer["failures"]] == ["sha256:x"]


def test_a_layer_comes_back_by_its_link_as_it_was_sent(sandbox: Sandbox, ecr: Any, repository: str) -> None:
    blob = bytes(range(256)) * 64
    registry.upload(ecr, repository, blob)
    assert fetched(sandbox, link_to(ecr, repository, registry.digest_of(blob))) == blob


def test_nothing_comes_without_a_link_or_with_one_that_was_changed(sandbox: Sandbox, ecr: Any, repository: str) -> None:
    registry.upload(ecr, repository, b"mine")
    registry.upload(ecr, repository, b"other")
    mine, other = registry.digest_of(b"mine"), registry.digest_of(b"other")
    link = link_to(ecr, repository, mine)
    expires = link.partition("expires=")[2].partition("&")[0]
    for forged in (
        link.partition("?")[0],
        link.replace(mine, other),
        link.replace(f"expires={expires}", f"expires={int(expires) + 1}"),
        link.replace(sandbox.account("hub"), sandbox.account("camden")),
        f"{sandbox.description['endpoint_url']}/v2/",
        f"{sandbox.description['endpoint_url']}/v2/{repository}/tags/list",
        f"{sandbox.description['endpoint_url']}/v2/{repository}/manifests/1",
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetched(sandbox, forged)
        assert refused.value.code == 403, forged


def test_parts_must_follow_each_other_and_be_large_enough(ecr: Any, repository: str) -> None:
    sent = {"repositoryName": repository, "uploadId": ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]}
    assert code(ecr.complete_layer_upload, layerDigests=[registry.digest_of(b"")], **sent) == "EmptyUploadException"
    ecr.upload_layer_part(partFirstByte=0, partLastByte=0, layerPartBlob=b"a", **sent)
    gap = {"partFirstByte": 2, "partLastByte": 2, "layerPartBlob": b"c"}
    assert code(ecr.upload_layer_part, **gap, **sent) == "InvalidLayerPartException"
    ecr.upload_layer_part(partFirstByte=1, partLastByte=1, layerPartBlob=b"b", **sent)
    digests = [registry.digest_of(b"ab")]
    assert code(ecr.complete_layer_upload, layerDigests=digests, **sent) == "LayerPartTooSmallException"


def test_an_upload_whose_digest_is_another_is_refused(ecr: Any, repository: str) -> None:
    sent = {"repositoryName": repository, "uploadId": ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]}
    ecr.upload_layer_part(partFirstByte=0, partLastByte=0, layerPartBlob=b"a", **sent)
    wrong = [registry.digest_of(b"b")]
    assert code(ecr.complete_layer_upload, layerDigests=wrong, **sent) == "InvalidLayerException"
    assert available(ecr, repository, *wrong) == ["UNAVAILABLE"]


def test_an_upload_belongs_to_its_repository(ecr: Any, repository: str) -> None:
    ecr.create_repository(repositoryName=f"{repository}-other")
    begun = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    part = {"partFirstByte": 0, "partLastByte": 0, "layerPartBlob": b"a", "uploadId": begun}
    assert code(ecr.upload_layer_part, repositoryName=f"{repository}-other", **part) == "UploadNotFoundException"


def test_an_image_needs_its_layers_and_an_index_its_images(ecr: Any, repository: str) -> None:
    one = registry.image([b"layer"])
    put = {"repositoryName": repository, "imageManifest": one.manifest}
    assert code(ecr.put_image, **put) == "LayersNotFoundException"
    wrong = f"sha256:{'0' * 64}"
    assert code(ecr.put_image, imageDigest=wrong, **put) == "ImageDigestDoesNotMatchException"
    index = registry.index({"amd64": one})
    assert code(ecr.put_image, repositoryName=repository, imageManifest=index) == "ReferencedImagesNotFoundException"
    registry.push(ecr, repository, one)
    ecr.put_image(repositoryName=repository, imageManifest=index, imageTag="all")


def test_a_tag_stays_with_its_image_and_a_second_push_is_told(ecr: Any, repository: str) -> None:
    one, two = registry.image([b"one"]), registry.image([b"two"])
    registry.push(ecr, repository, one, "1")
    again = {"repositoryName": repository, "imageManifest": one.manifest, "imageTag": "1"}
    assert code(ecr.put_image, **again) == "ImageAlreadyExistsException"
    with pytest.raises(ClientError, match="ImageTagAlreadyExistsException"):
        registry.push(ecr, repository, two, "1")


def test_images_are_described_with_the_size_of_their_layers_and_absent_ones_refused(ecr: Any, repository: str) -> None:
    one = registry.image([b"x" * 1000, b"y" * 500])
    registry.push(ecr, repository, one, "1")
    (detail,) = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "1"}])["imageDetails"]
    assert detail["imageDigest"] == one.digest
    assert detail["imageSizeInBytes"] == 1500 + len(one.blobs[0])
    absent = [{"imageTag": "2"}]
    assert code(ecr.describe_images, repositoryName=repository, imageIds=absent) == "ImageNotFoundException"


def test_a_repository_that_was_deleted_takes_its_layers_with_it(ecr: Any, repository: str) -> None:
    registry.upload(ecr, repository, b"layer")
    ecr.delete_repository(repositoryName=repository, force=True)
    ecr.create_repository(repositoryName=repository)
    assert available(ecr, repository, registry.digest_of(b"layer")) == ["UNAVAILABLE"]


def test_images_and_layers_survive_a_restart(new_sandbox: Callable[..., Sandbox]) -> None:
    own = new_sandbox()
    own.start()
    ecr = own.client("ecr", own.root("hub"))
    ecr.create_repository(repositoryName="test/kept")
    one = registry.image([b"layer"])
    registry.push(ecr, "test/kept", one, "1")
    own.run("stop")
    own.start()
    ecr = own.client("ecr", own.root("hub"))
    assert ecr.describe_images(repositoryName="test/kept")["imageDetails"][0]["imageDigest"] == one.digest
    digest = registry.digest_of(b"layer")
    assert available(ecr, "test/kept", digest) == ["AVAILABLE"]
    assert fetched(own, link_to(ecr, "test/kept", digest)) == b"layer"
