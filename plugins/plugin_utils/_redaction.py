# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes secrets out of text that people and logs see."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MASK = "********"
# Real ones have forty characters and more. An emulator's key may be a common word, which would be masked everywhere.
_SHORTEST = 16


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets.

    A presigned URL carries its session's token by design and is of no use without it: there it stays.
    """
    for secret in secrets:
        if len(secret) < _SHORTEST:
            continue
        text = re.sub(f"(?<!X-Amz-Security-Token=){re.escape(secret)}", _MASK, text)
    return text
