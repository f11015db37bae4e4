# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts as buildx, buildah and kaniko write them, and as they must not be."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.localgov.platform.plugins.module_utils import _oci_layout as oci
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.layouts import (
    INDEX_TYPE,
    blob_path,
    descriptor,
    write_image,
    write_index,
    write_layout,
)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """One image of two layers, for linux/amd64."""
    return write_layout(tmp_path / "layout", [b"first layer", b"second layer"])


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """An index of two platforms and what says how they were built, as buildx writes it."""
    folder = tmp_path / "several"
    members = [
        {**write_image(folder, [b"same", b"amd64"]), "platform": {"os": "linux", "architecture": "amd64"}},
        {
            **write_image(folder, [b"same", b"arm64"], architecture="arm64"),
            "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
        },
        {**write_image(folder, [b"provenance"]), "platform": {"os": "unknown", "architecture": "unknown"}},
    ]
    write_index(
        folder, [descriptor(folder, INDEX_TYPE, {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": members})]
    )
    return folder


def read(path: Path, platform: str | None = None) -> oci.Image:
    with oci.open_layout(path) as opened:
        image = oci.read_image(opened, platform)
        oci.verify(opened, image.blobs)
    return image


def refusal(path: Path, platform: str | None = None) -> str:
    with pytest.raises(oci.LayoutError) as raised:
        read(path, platform)
    return str(raised.value)


def test_an_image_is_its_manifest_its_configuration_and_its_layers(layout: Path) -> None:
    image = read(layout)
    index = json.loads((layout / "index.json").read_bytes())
    assert image.digest == index["manifests"][0]["digest"]
    assert image.default_tag == image.digest[7:19]
    assert [blob.size for blob in image.blobs][1:] == [len(b"first layer"), len(b"second layer")]


def test_an_archive_is_read_like_a_folder(layout: Path, tmp_path: Path) -> None:
    for prefix in ("", "./"):
        archive = tmp_path / "layout.tar"
        with tarfile.open(archive, "w") as opened:
            for path in sorted(layout.rglob("*")):
                opened.add(path, f"{prefix}{path.relative_to(layout)}", recursive=False)
        assert read(archive) == read(layout)


def test_a_layer_that_occurs_twice_is_one_blob(tmp_path: Path) -> None:
    image = read(write_layout(tmp_path / "layout", [b"", b"content", b""]))
    assert len(image.blobs) == 3


def test_of_an_index_the_members_come_before_itself(several: Path) -> None:
    image = read(several)
    assert [manifest.media_type == INDEX_TYPE for manifest in image.manifests] == [False, False, False, True]
    named = [member["digest"] for member in json.loads(image.manifests[-1].content)["manifests"]]
    assert [manifest.digest for manifest in image.manifests[:-1]] == named


@pytest.mark.parametrize("platform", ["linux/arm64", "linux/arm64/v8"])
def test_one_platform_of_an_index_is_an_image_of_its_own(several: Path, platform: str) -> None:
    image = read(several, platform)
    assert len(image.manifests) == 1
    assert b"arm64" in [blob_path(several, blob.digest).read_bytes() for blob in image.blobs]


def test_a_platform_that_is_not_there_is_named_with_those_that_are(several: Path) -> None:
    reason = refusal(several, "linux/riscv64")
    assert "none for linux/riscv64" in reason
    assert "linux/amd64, linux/arm64" in reason


def test_an_image_for_another_platform_is_refused(layout: Path) -> None:
    assert "is for linux/amd64, not for linux/arm64" in refusal(layout, "linux/arm64")
    assert read(layout, "linux/amd64") == read(layout)


def test_of_several_images_one_must_be_named(tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    write_index(folder, [write_image(folder, [b"one"]), write_image(folder, [b"two"])])
    assert "more than one image" in refusal(folder)


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _with(name: str, content: object) -> Callable[[Path], None]:
    text = content if isinstance(content, str) else json.dumps(content)

    def write(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return write


def _refer_to(entry: object) -> Callable[[Path], None]:
    return _with("index.json", {"manifests": [entry]})


BROKEN: list[tuple[str, Callable[[Path], None], list[str]]] = [
    ("no version", _without("oci-layout"), ["oci-layout", "Build the image again"]),
    (
        "another version",
        _with("oci-layout", {"imageLayoutVersion": "2.0"}),
        ["oci-layout", "2.0", "Build the image again"],
    ),
    ("no index", _without("index.json"), ["index.json", "Build the image again"]),
    ("an index that is no JSON", _with("index.json", "{"), ["index.json", "no JSON"]),
    ("an index that is a list", _with("index.json", []), ["index.json", "no JSON object"]),
    ("an index without manifests", _with("index.json", {"manifests": []}), ["index.json", "names no manifests"]),
    ("an entry that is no object", _refer_to("x"), ["names no manifests"]),
    ("an entry without a digest", _refer_to({"size": 1}), ["no SHA-256 digest"]),
    ("a digest that is a path", _refer_to({"digest": "sha256:../../etc/passwd", "size": 1}), ["no SHA-256 digest"]),
    ("another algorithm", _refer_to({"digest": f"sha512:{'0' * 128}", "size": 1}), ["no SHA-256 digest"]),
    ("an absent manifest", _refer_to({"digest": f"sha256:{'0' * 64}", "size": 1}), ["blobs/sha256/0000", "Build"]),
]


@pytest.mark.parametrize(("breaks", "wanted"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_layout_says_which_file_and_what_to_do(
    layout: Path, breaks: Callable[[Path], None], wanted: list[str]
) -> None:
    breaks(layout)
    reason = refusal(layout)
    assert all(part in reason for part in wanted), reason
    assert str(layout) in reason


def test_a_blob_that_is_not_there_is_named(layout: Path) -> None:
    blob = read(layout).blobs[-1]
    blob_path(layout, blob.digest).unlink()
    assert blob.digest.removeprefix("sha256:") in refusal(layout)


def test_what_is_no_layout_at_all_is_refused(tmp_path: Path) -> None:
    assert "Cannot read the image layout" in refusal(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"no archive, whatever its name says" * 100)
    assert "neither a folder nor an uncompressed tar archive" in refusal(tmp_path / "file")


def test_what_is_not_an_image_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    write_index(folder, [descriptor(folder, "application/vnd.example.chart", {"schemaVersion": 2})])
    assert "application/vnd.example.chart, not an image" in refusal(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_no_single_byte_of_any_blob_can_change_unnoticed(layout: Path, data: st.DataObject) -> None:
    files = sorted(path for path in (layout / "blobs").rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    try:
        reason = refusal(layout)
        assert f"{path} is damaged" in reason
        assert "Nothing was sent" in reason
    finally:
        path.write_bytes(content)


def test_a_blob_that_was_cut_short_is_damaged(layout: Path) -> None:
    path = blob_path(layout, read(layout).blobs[-1].digest)
    path.write_bytes(path.read_bytes()[:-1])
    assert f"{path} is damaged" in refusal(layout)
