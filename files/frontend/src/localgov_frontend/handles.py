# SPDX-License-Identifier: GPL-3.0-or-later
"""What a browser holds of an upload in parts: sealed, so that it can be neither made nor changed nor read elsewhere.

The service keeps nothing of an upload under way. With the same `SESSION_KEY` any of its tasks can go on with it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from datetime import timedelta

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from localgov_frontend.datasets import DATASETS
from localgov_frontend.multipart import Upload
from localgov_frontend.submissions import find_submission

# The data store's rule ends uploads that nobody finished a day after they were begun, or up to a day later.
HANDLE_LIFETIME = timedelta(days=1)
_HEADER = {"alg": "dir", "enc": "A256GCM"}
_ALGORITHMS = ["dir", "A256GCM"]
_LONGEST = 2048


class Handles:
    def __init__(self, secrets: Sequence[str], bucket: str) -> None:
        """Seals with the first secret, opens with all."""
        purpose = f"localgov-frontend upload {bucket}".encode()
        self._keys = [OctKey.import_key(hmac.digest(secret.encode(), purpose, hashlib.sha256)) for secret in secrets]

    def seal(self, upload: Upload, person: str | None) -> str:
        submission = upload.submission
        document = {
            "dataset": submission.dataset,
            "year": submission.year,
            "identifier": submission.identifier,
            "kind": upload.kind.ending,
            "upload_id": upload.upload_id,
            "size": upload.size,
            "person": person,
            "begun": time.time(),
        }
        return jwe.encrypt_compact(_HEADER, json.dumps(document), self._keys[0], _ALGORITHMS)

    def open(self, handle: object, person: str | None) -> Upload | None:
        """The upload, if this service sealed its handle for this person less than a day ago."""
        if not isinstance(handle, str) or len(handle) > _LONGEST:
            return None
        for key in self._keys:
            try:
                plaintext = jwe.decrypt_compact(handle, key, _ALGORITHMS).plaintext
            except (JoseError, ValueError):
                continue
            return _upload(plaintext or b"", person)
        return None


def _upload(plaintext: bytes, person: str | None) -> Upload | None:
    document = json.loads(plaintext)
    submission = find_submission(document["dataset"], str(document["year"]), document["identifier"])
    is_over = time.time() - document["begun"] > HANDLE_LIFETIME.total_seconds()
    kind = DATASETS[submission.dataset].kind(document.get("kind", "")) if submission else None
    if submission is None or kind is None or is_over or document["person"] != person:
        return None
    return Upload(submission, kind, document["upload_id"], document["size"])
