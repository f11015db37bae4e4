# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushes of image layouts: once, again, interrupted, damaged, refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import tarfile
import time
from pathlib import Path

import pytest

from tests.integration.images.conftest import Registry
from tests.unit.plugins.module_utils.layouts import (
    INDEX_TYPE,
    blob_path,
    descriptor,
    write_image,
    write_index,
    write_layout,
)

MEBIBYTE = 1024 * 1024


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return write_layout(tmp_path / "layout", [b"first layer", b"second layer"])


def test_a_push_in_four_beats(registry: Registry, layout: Path) -> None:
    foreseen = registry.push(layout, check=True)
    assert foreseen["changed"]
    assert registry.layers() == set()
    done = registry.push(layout)
    assert done["changed"]
    assert done["layers"] == foreseen["layers"]
    assert set(done["layers"]["pushed"]) == registry.layers()
    for again in (registry.push(layout, check=True), registry.push(layout)):
        assert not again["changed"]
        assert again["layers"] == {"pushed": [], "skipped": done["layers"]["pushed"]}
    assert foreseen["digest"] == done["digest"] == again["digest"]


def test_the_image_is_known_by_its_digest_and_by_a_tag_of_its_content(registry: Registry, layout: Path) -> None:
    done = registry.push(layout)
    (detail,) = registry.ecr.describe_images(repositoryName=registry.repository)["imageDetails"]
    assert (
        detail["imageDigest"]
        == done["digest"]
        == json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]
    )
    assert detail["imageTags"] == [done["tag"]] == [done["digest"][7:19]]
    assert done["uri"] == f"200000000001.dkr.ecr.eu-west-2.amazonaws.com/{registry.repository}@{done['digest']}"


def test_a_layer_of_an_earlier_image_is_not_sent_again(registry: Registry, layout: Path, tmp_path: Path) -> None:
    before = registry.push(layout)
    after = registry.push(write_layout(tmp_path / "next", [b"first layer", b"another layer"]))
    assert set(after["layers"]["skipped"]) < set(before["layers"]["pushed"])
    assert len(after["layers"]["pushed"]) == 1
    assert after["digest"] != before["digest"]


def test_an_archive_is_pushed_like_a_folder(registry: Registry, layout: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "layout.tar", "w") as archive:
        archive.add(layout, ".")
    assert registry.push(tmp_path / "layout.tar")["changed"]
    assert not registry.push(layout)["changed"]


def test_a_push_that_was_killed_goes_on_where_it_was(registry: Registry, tmp_path: Path) -> None:
    layers = [os.urandom(12 * MEBIBYTE) for _ in range(6)]
    layout = write_layout(tmp_path / "layout", layers)
    process = registry.start_push(layout)
    deadline = time.monotonic() + 60
    while not (len(registry.layers()) >= 2 and any(path.stat().st_size for path in registry.uploads())):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no upload was under way"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    arrived = registry.layers()
    assert 2 <= len(arrived) < len(layers)
    finished = registry.push(layout)
    assert finished["changed"]
    assert set(finished["layers"]["skipped"]) == arrived
    assert set(finished["layers"]["pushed"]) == registry.layers() - arrived
    assert not registry.push(layout)["changed"]
    for path in registry.sandbox.folder.glob(f"layers/*/*/{registry.repository.replace('/', '%2F')}/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def _layer_digests(layout: Path) -> list[str]:
    (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return [layer["digest"] for layer in json.loads(blob_path(layout, entry["digest"]).read_bytes())["layers"]]


@pytest.mark.parametrize("check", [True, False])
def test_a_damaged_blob_is_refused_before_anything_is_sent(registry: Registry, layout: Path, check: bool) -> None:
    damaged = blob_path(layout, _layer_digests(layout)[-1])
    damaged.write_bytes(b"SECOND layer")
    uploads = registry.uploads()
    said = registry.push(layout, check=check)
    assert said["failed"]
    assert f"{damaged} is damaged" in said["msg"]
    assert registry.layers() == set()
    assert registry.uploads() == uploads
    assert registry.ecr.describe_images(repositoryName=registry.repository)["imageDetails"] == []


@pytest.mark.parametrize("check", [True, False])
def test_a_tag_of_another_image_is_never_moved(registry: Registry, layout: Path, tmp_path: Path, check: bool) -> None:
    first = registry.push(layout, tags=["1.0"])
    said = registry.push(write_layout(tmp_path / "other", [b"other"]), tags=["1.0"], check=check)
    assert said["failed"]
    assert re.search(rf"The tag 1\.0 .* another image, {first['digest']}\. Tags are immutable", said["msg"])
    assert not registry.push(layout, tags=["1.0"])["changed"]
    assert registry.push(layout, tags=["1.0", "1.1"])["layers"]["pushed"] == []
    (detail,) = registry.ecr.describe_images(repositoryName=registry.repository)["imageDetails"]
    assert sorted(detail["imageTags"]) == ["1.0", "1.1"]


def test_a_multi_platform_image_goes_as_a_whole_or_for_one_platform(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    members = [
        {**write_image(folder, [name.encode()], name), "platform": {"os": "linux", "architecture": name}}
        for name in ("amd64", "arm64")
    ]
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": members}
    write_index(folder, [descriptor(folder, INDEX_TYPE, index)])
    whole = registry.push(folder)
    pushed = registry.ecr.describe_images(repositoryName=registry.repository)["imageDetails"]
    assert {detail["imageDigest"] for detail in pushed} == {whole["digest"], *(member["digest"] for member in members)}
    one = registry.push(folder, platform="linux/arm64")
    assert one["digest"] == members[1]["digest"]
    assert one["layers"]["pushed"] == []
    assert "Name one platform of linux/amd64, linux/arm64" in registry.push(folder, platform="linux/s390x")["msg"]


def test_a_repository_that_is_not_there_is_foreseen_in_a_rehearsal_and_an_error_otherwise(
    registry: Registry, layout: Path
) -> None:
    registry.repository += "-absent"
    foreseen = registry.push(layout, check=True)
    assert foreseen["changed"]
    assert foreseen["uri"] is None
    said = registry.push(layout)
    assert f"There is no repository {registry.repository}" in said["msg"]
    assert "org_ecr" in said["msg"]


def test_a_layout_that_is_not_there_is_an_error_and_no_traceback(registry: Registry, tmp_path: Path) -> None:
    said = registry.push(tmp_path / "nowhere")
    assert said["failed"]
    assert str(tmp_path / "nowhere") in said["msg"]
    assert "Traceback" not in json.dumps(said)
