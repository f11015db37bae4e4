# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `zip_archive`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: zip_archive
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: A ZIP archive of files, the same for the same files
description: >-
  Packs texts into a ZIP archive without times, owners or order of their own, so that equal files give equal archives,
  and a function is deployed again only when its code has changed.
positional: _input
options:
  _input:
    description: Texts by the path that each has in the archive.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Upload the code of a function
  amazon.aws.s3_object:
    bucket: localgov-012345670123-code
    object: function.zip
    mode: put
    content_base64: "{{ {'index.py': lookup('ansible.builtin.file', 'index.py')} | localgov.platform.zip_archive }}"
"""

RETURN = r"""
_value:
  description: The archive, in base64.
  type: str
"""

import base64
import io
import zipfile
from collections.abc import Callable
from typing import Any

# The earliest time that the format knows.
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o100644 << 16


def zip_archive(files: dict[str, str]) -> str:
    """Equal files give equal archives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in sorted(files.items()):
            entry = zipfile.ZipInfo(path, _LONG_AGO)
            entry.external_attr = _READABLE
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"zip_archive": zip_archive}
