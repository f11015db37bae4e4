# SPDX-License-Identifier: GPL-3.0-or-later
"""What the local authorities share at this moment. One that has closed its bucket does not hold up the others."""

from __future__ import annotations

from typing import NamedTuple

from localgov_pipeline.defs.storage import BucketClosedError, Storage
from localgov_pipeline.lib.regional import SharedFile


class Shares(NamedTuple):
    """`closed` maps a local authority to the reason why nothing of its bucket could be listed."""

    files: list[SharedFile]
    closed: dict[str, str]


def current_shares(storage: Storage, prefix: str = "") -> Shares:
    files: list[SharedFile] = []
    closed: dict[str, str] = {}
    for local_authority, bucket in sorted(storage.members.items()):
        try:
            of_member = [
                SharedFile(local_authority, entry.key, entry.etag) for entry in storage.objects(bucket, prefix)
            ]
        except BucketClosedError as error:
            closed[local_authority] = str(error)
        else:
            files.extend(of_member)
    return Shares(files, closed)
