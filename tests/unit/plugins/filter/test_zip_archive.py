# SPDX-License-Identifier: GPL-3.0-or-later
"""Equal files give equal archives."""

from __future__ import annotations

import base64
import io
import zipfile

from ansible_collections.localgov.platform.plugins.filter.zip_archive import zip_archive


def test_an_archive_has_the_files_at_their_paths() -> None:
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(zip_archive({"a/b.py": "x = 1\n", "c.py": "é"})))) as archive:
        assert archive.namelist() == ["a/b.py", "c.py"]
        assert archive.read("c.py").decode() == "é"
        assert archive.getinfo("a/b.py").external_attr >> 16 == 0o100644


def test_the_order_of_files_makes_no_difference_and_their_content_does() -> None:
    assert zip_archive({"a": "1", "b": "2"}) == zip_archive({"b": "2", "a": "1"})
    assert zip_archive({"a": "1"}) != zip_archive({"a": "2"})
