# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: deploy an organisation on this machine's sandbox, then walk a file through it and say where it went."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from sandbox import people
from sandbox.journey.organisation import (
    LOCAL_AUTHORITIES,
    ORGANISATION,
    PROFILE,
    READER,
    Organisation,
    Principal,
    running,
    shared_file,
)
from sandbox.journey.outsider import every_right
from sandbox.journey.person import JourneyError, Submission, another, upload, wait_for, wait_for_result
from sandbox.settings import ROOT, Settings, load

_SAMPLES = ROOT / "files" / "dagster" / "code_server" / "samples"
_WALKER = "camden"


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def step(number: int, text: str) -> None:
    say(f"\n{number}. {text}")


def deploy() -> None:
    """The same playbook as for real accounts; only the inventory differs."""
    command = ["ansible-playbook", "-i", "inventories/sandbox", "playbooks/site.yml"]
    say("$ " + " ".join(command))
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise JourneyError("The deployment failed; its last lines say which account and why.")


def walk(organisation: Organisation, settings: Settings) -> None:
    """One good file from the frontend to the organisation, one bad file to its reasons, and everybody else refused."""
    step(1, f"A person signs in at {_WALKER}'s frontend and uploads a file, straight to S3.")
    begun = time.monotonic()
    sent = send(organisation, _SAMPLES / "header_with_errors.csv")
    say(f"   s3://{organisation.bucket(_WALKER, 'data-store')}/{sent.upload_key}")

    step(2, "Dagster picks it up, keeps its stages in the workspace, and puts the result into the data store.")
    state = wait_for_result(sent)
    report = organisation.report(_WALKER, sent.results_prefix)
    rows = report["rows"]
    say(
        f"   {state} after {time.monotonic() - begun:.0f} s: {rows['read']} rows read, {rows['written']} written, "
        f"{rows['shared']} shared; {report['errors']['total']} faults listed for the person"
    )
    for place in places(organisation, sent):
        say(f"   {place}")
    shared = shared_file(report)
    say(f"   s3://{shared.bucket}/{shared.key}")

    step(3, "The organisation's pipeline reads what is shared.")
    lines = organisation.read(READER, shared.bucket, shared.key).decode().splitlines()
    say(f"   {READER} read s3://{shared.bucket}/{shared.key}:")
    for line in lines[:3]:
        say(f"     {line}")
    table = report["table"]
    rows_gathered = gather(organisation, sent, table)
    regional = f"regional/{sent.dataset}/{PROFILE}/{sent.year}/{table}.csv"
    say(f"   s3://{organisation.bucket(ORGANISATION, 'data-store')}/{regional}: {rows_gathered} rows")

    step(
        4, "Everybody else is refused, each with their own credentials and every right that their own account can give."
    )
    for who, bucket in refused_reads(organisation):
        with every_right(settings, who):
            reason = organisation.refusal(who, "list_objects_v2", Bucket=bucket)
        if reason is None:
            raise JourneyError(f"{who} was let into {bucket}, which must never happen.")
        say(f"   {who} -> {bucket}: refused")

    step(5, "A file that cannot be trusted is rejected, with reasons.")
    bad = send(organisation, _SAMPLES / "header_missing_column.csv")
    say(f"   {wait_for_result(bad)}: " + "; ".join(reasons(organisation, bad)))


def send(organisation: Organisation, sample: Path) -> Submission:
    return upload(organisation.frontend(_WALKER), another(sample.read_bytes()))


def places(organisation: Organisation, sent: Submission) -> list[str]:
    """Where the pipeline put stages and results of a submission."""
    pipeline = Principal(_WALKER, READER.role)
    found = []
    for kind, prefixes in (("workspace", ("parsed/", "cleaned/", "pseudonymised/")), ("data-store", ("results/",))):
        bucket = organisation.bucket(_WALKER, kind)
        keys = [key for prefix in prefixes for key in organisation.keys(pipeline, bucket, prefix)]
        found += [f"s3://{bucket}/{key}" for key in keys if sent.identifier in key]
    return found


def gather(organisation: Organisation, sent: Submission, table: str) -> int:
    """How many rows the organisation has gathered, once those of this authority are among them."""

    def gathered() -> int:
        rows = organisation.regional(sent.dataset, sent.year, table)
        return len(rows) if _WALKER in {row["local_authority"] for row in rows} else 0

    return wait_for(gathered, f"rows of {_WALKER} in the organisation's regional file", 120)


def refused_reads(organisation: Organisation) -> list[tuple[Principal, str]]:
    """Who must not get where: other roles, other authorities, outsiders with the right name, and other buckets."""
    shared = organisation.bucket(_WALKER, "shared")
    return [
        (Principal(ORGANISATION, "localgov-frontend-task"), shared),
        (Principal("croydon", READER.role), shared),
        (Principal("outsider", READER.role), shared),
        (READER, organisation.bucket(_WALKER, "data-store")),
        (READER, organisation.bucket(_WALKER, "workspace")),
    ]


def reasons(organisation: Organisation, rejected: Submission) -> list[str]:
    """What the person is told."""
    shown = organisation.report(_WALKER, rejected.results_prefix)["errors"]["shown"]
    return [entry["reason"] for entry in shown]


def main() -> int:
    settings = load()
    try:
        deploy()
        organisation = running(settings)
        walk(organisation, settings)
        say(f"\nThe sandbox stays up until `make down`. Sign in as somebody of {people.file_of(settings)}. Click on:")
        for account in LOCAL_AUTHORITIES:
            say(f"   {account:8} {organisation.frontend(account)}")
    except JourneyError as reason:
        say(f"\n{reason}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
