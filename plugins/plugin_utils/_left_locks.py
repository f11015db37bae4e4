# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives back the locks on accounts that a run has left, because it was aborted or killed.

A program of its own, which the run starts at its end, or the process that waits for that, if need be. Each file of the
directory says which object is the lock, of which run, and what it holds when it is free, and has the session by which
it was taken. A lock that is another run's by now stays.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any


def give_back(file: Path) -> None:
    import botocore.session
    from botocore.config import Config

    left = json.loads(file.read_text(encoding="utf-8"))
    environment = left["environment"]
    s3: Any = botocore.session.Session().create_client(
        "s3",
        region_name=environment.get("AWS_REGION"),
        endpoint_url=environment.get("AWS_ENDPOINT_URL"),
        verify=environment.get("AWS_CA_BUNDLE"),
        aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        config=Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4}),
    )
    where = {"Bucket": left["bucket"], "Key": left["key"]}
    lock = s3.get_object(**where)
    if json.load(lock["Body"])["run"] == left["run"]:
        s3.put_object(**where, Body=left["free"].encode(), IfMatch=lock["ETag"])


if __name__ == "__main__":
    for found in sorted(Path(sys.argv[1]).glob("*.json")):
        # Nobody would read why not. The lock expires.
        with contextlib.suppress(Exception):
            give_back(found)
            found.unlink()
