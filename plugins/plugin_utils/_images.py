# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that a template of services names by their digests, and others in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping

DIGEST = r"sha256:[0-9a-f]{64}"


def with_images(template: str, digests: Mapping[str, str], prefix: str) -> str:
    """The template with the digests of the images that *digests* names; all else stays as it is, to the letter.

    ValueError where a digest is none, or where the template names no image of the platform.
    """
    if wrong := [f"{name}: {digest!r}" for name, digest in digests.items() if not re.fullmatch(DIGEST, str(digest))]:
        raise ValueError(f"no digest, such as sha256:0a1b... of 64 hexadecimal digits: {', '.join(wrong)}")
    named = re.compile(rf"(?P<name>(?<=[.]amazonaws[.]com/{re.escape(prefix)}/)[\w./-]+)@(?P<digest>{DIGEST})")
    changed, number = named.subn(
        lambda found: f"{found['name']}@{digests.get(found['name'], found['digest'])}", template
    )
    if not number:
        raise ValueError(f"the template names no image of {prefix}/ by its digest")
    return changed
