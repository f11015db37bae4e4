# SPDX-License-Identifier: GPL-3.0-or-later
"""An upload, the execution that is its own, and where its receipt lies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

UPLOADS, RECEIPTS = "uploads/", "receipts/"
_LONGEST_KEY = 1024  # bytes, of S3


@dataclass(frozen=True)
class Upload:
    """One version of an object in the upload bucket."""

    bucket: str
    key: str
    version: str
    size: int

    @classmethod
    def of(cls, document: dict[str, Any]) -> Upload:
        return cls(
            str(document["bucket"]), str(document["key"]), str(document["version"]), int(document.get("size") or 0)
        )

    @property
    def execution(self) -> str:
        """A name that the same version always gets, so that Step Functions itself refuses a second execution."""
        identity = "\n".join((self.bucket, self.key, self.version))
        return hashlib.sha256(identity.encode()).hexdigest()

    @property
    def receipt(self) -> str:
        """The key of the receipt, which whoever made the upload can work out."""
        key = f"{RECEIPTS}{self.key.removeprefix(UPLOADS)}.json"
        if len(key.encode()) <= _LONGEST_KEY:
            return key
        person = self.key.removeprefix(UPLOADS).partition("/")[0]
        return f"{RECEIPTS}{person[:100]}/{hashlib.sha256(self.key.encode()).hexdigest()}.json"
