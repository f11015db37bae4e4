# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock that is an object in a bucket: S3 itself decides who was first, by conditional writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from ansible_collections.localgov.platform.plugins.module_utils._access_calls import NotThereError, attempt
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import ClientError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

# Another was faster: the object is there already, has changed, is gone, or is being written at this moment.
_LOST = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "404")
# How often somebody else may be faster before it is said.
_ATTEMPTS = 5


@dataclass(frozen=True)
class Claim:
    """Who wants the lock. `run` is different for each run of Ansible: see `run_is_over`."""

    owner: str
    run: str
    lasts: int  # seconds


# What lies there when nobody has the lock. It is never removed: where it is, the bucket was once made as it should be.
FREE = Claim("", "", 0)


@dataclass(frozen=True)
class Taken:
    """A lock as this run has taken it: `because` says why it could be taken from another, if it was."""

    tag: str
    because: str = ""


@dataclass(frozen=True)
class Held:
    """The lock as it lies there. Both times are S3's own, so that no operator's clock matters."""

    claim: Claim
    tag: str
    taken: datetime
    now: datetime

    @property
    def expires(self) -> datetime:
        return self.taken + timedelta(seconds=self.claim.lasts)


class HeldByOtherError(RefusedError):
    """Somebody else deploys the account now."""


class NotPreparedError(RefusedError):
    """There has never been a lock in the bucket, or there is no such bucket."""


def take(
    s3: Client,
    bucket: str,
    key: str,
    claim: Claim,
    *,
    prepared: bool = False,
    take_from: str = "",
    is_over: Callable[[str], bool],
) -> Taken:
    """Takes the lock, or renews it where this run has it.

    `prepared` says that the bucket is certainly as it should be; otherwise one in which there has never been a lock is
    left to whoever makes it so. `take_from` is the owner from whom the lock is taken even though their run may go on;
    `is_over` tells of a run whether it is certainly over. Raises HeldByOtherError, NotPreparedError and RefusedError.
    """
    for _attempt in range(_ATTEMPTS):
        held = look(s3, bucket, key)
        if held is None:
            if not prepared:
                raise NotPreparedError(f"There has never been a lock in the bucket {bucket}.")
            if tag := _write(s3, bucket, key, claim, IfNoneMatch="*"):
                return Taken(tag)
            continue
        is_own = held.claim.run == claim.run
        because = "" if is_own else _why_it_may_be_taken(held, take_from, is_over)
        if held.claim != FREE and not is_own and not because:
            raise HeldByOtherError(_in_the_way(held))
        if tag := _write(s3, bucket, key, claim, IfMatch=held.tag):
            return Taken(tag, because)
    raise HeldByOtherError(f"Others are taking the lock s3://{bucket}/{key} at this moment. Run this again.")


def release(s3: Client, bucket: str, key: str, claim: Claim, tag: str = "") -> str:
    """Gives the lock back if it is this run's; otherwise says who had it meanwhile.

    A lock that is gone with its bucket, as after a teardown, is nobody's. With the tag under which this run took it, it
    need not be looked at first.
    """
    if tag:
        with suppress(NotThereError):
            if _write(s3, bucket, key, FREE, IfMatch=tag):
                return ""
    for number in range(_ATTEMPTS):
        held = look(s3, bucket, key)
        # S3 may have freed it although its answer was lost.
        if held is None or ((number or tag) and held.claim == FREE):
            return ""
        if held.claim.run != claim.run:
            return _lost(held)
        if _write(s3, bucket, key, FREE, IfMatch=held.tag):
            return ""
    return f"Others are taking the lock s3://{bucket}/{key} at this moment."


def look(s3: Client, bucket: str, key: str) -> Held | None:
    """The lock as it is now, also when nobody has it (`FREE`); None when there has never been one."""
    with attempt(f"look at the lock s3://{bucket}/{key}", permission="s3:GetObject on it and s3:ListBucket"):
        try:
            found = s3.get_object(aws_retry=True, Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in (*_LOST, "NoSuchBucket"):
                return None
            raise
        text = found["Body"].read()
    try:
        claim = Claim(**json.loads(text))
    except (ValueError, TypeError):
        raise RefusedError(
            f"s3://{bucket}/{key} is no lock that this version can read. If nobody deploys the account, delete it."
        ) from None
    now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
    return Held(claim, found["ETag"], found["LastModified"], now)


def text_of(claim: Claim) -> str:
    """The lock as it lies in the bucket."""
    return json.dumps(vars(claim))


def run_is_over(run: str) -> bool:
    """Whether a run was one of this machine, since it was started, and its process is gone.

    A run is named `<boot>.<process namespace>.<process>.<start of the process>`: see the lookup `this_run`.
    """
    boot, namespace, pid, started = ([*run.split("."), "", "", ""])[:4]
    if [boot, namespace] != this_machine() or not boot:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError, ValueError):
        return False  # It is somebody else's process, or none that can be asked about.
    try:
        # The second field, the command's name, may hold blanks and brackets.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[19] != started


def this_machine() -> list[str]:
    """What tells this machine, since it was started, and its processes from all others; empty texts where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return [boot, str(Path("/proc/self/ns/pid").readlink())]
    except OSError:
        return ["", ""]


def _write(s3: Client, bucket: str, key: str, claim: Claim, **condition: str) -> str:
    """The object's tag where S3 let this claim in, under the condition, and else nothing."""
    with attempt(f"write the lock s3://{bucket}/{key}", permission="s3:PutObject on it"):
        try:
            body = text_of(claim).encode()
            return str(s3.put_object(aws_retry=True, Bucket=bucket, Key=key, Body=body, **condition)["ETag"])
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _LOST:
                return ""
            raise


def _why_it_may_be_taken(held: Held, take_from: str, is_over: Callable[[str], bool]) -> str:
    owner = held.claim.owner
    if held.claim == FREE:
        return ""
    if held.now >= held.expires:
        return f"The lock of {owner} has expired, at {_moment(held.expires)}."
    if is_over(held.claim.run):
        return (
            f"The run of {owner} on this machine, begun at {_moment(held.taken)}, is gone without giving its lock back."
        )
    if take_from == owner:
        return f"The lock was taken from {owner} as you asked."
    return ""


def _in_the_way(held: Held) -> str:
    owner = held.claim.owner
    return (
        f"{owner} deploys this account since {_moment(held.taken)}, so nothing was done here. Wait until that run has "
        f"ended, and run this again; the lock expires at {_moment(held.expires)}. If the run is certainly gone, take "
        f"its lock: -e platform_take_lock_from={owner}"
    )


def _lost(held: Held) -> str:
    """Of a lock that a run had taken and finds with another."""
    if held.claim == FREE:
        return "This run had lost its lock, which had expired or was taken: another run has come and gone meanwhile."
    return (
        f"This run has lost its lock, which had expired or was taken: {held.claim.owner} deploys this account since "
        f"{_moment(held.taken)}. Wait until that run has ended, and run this again."
    )


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
