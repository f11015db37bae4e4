# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority's own switch: it revokes while the organisation reads, alone, and opens again.

The tests follow one revocation from its beginning to its end, so that the pipeline's sensors are waited for only once.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from botocore.exceptions import ClientError

from sandbox import sessions
from sandbox.journey.organisation import GATHERER, ORGANISATION, PROFILE, READER, Organisation, Principal
from sandbox.journey.person import Submission, page_text, upload, wait_for, wait_for_result
from sandbox.runtime.containers import MARK
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, failures, record, sample
from tests.e2e.operators.shares import share_of
from tests.e2e.operators.test_deployment import recap

ACCOUNT = "camden"
OTHER = "croydon"
AUTHORITIES = (ACCOUNT, OTHER, "sutton")
DEPLOY_ROLE = "localgov-deploy"
CLUSTER = "localgov"
LOG_GROUP = "/localgov/run"
ONE_DATASET = {"platform_share_prefixes": ["ssda903"]}
EXPIRED = {"platform_share_expires": "2020-01-01"}
# A year of its own, for regional tables that no other test writes.
YEAR = 2018
FOLDER = f"ssda903/{PROFILE}/{YEAR}/"
OTHER_DATASET = "another/file.csv"
MANIFEST = f"regional/ssda903/{PROFILE}/{YEAR}/header.json"
# Rows of the table header; camden shares further tables, so that there is something to read.
ROWS = {ACCOUNT: 2, OTHER: 1}
TABLES = ("header", "ad1", "episodes", "missing", "oc2", "oc3", "placed_adoption", "prev_perm", "reviews", "uasc")
SHARED = {
    ACCOUNT: share_of("ssda903", YEAR, dict.fromkeys(TABLES, ROWS[ACCOUNT])),
    OTHER: share_of("ssda903", YEAR, {"header": ROWS[OTHER]}),
}
# Longer than the sandbox takes to write what was recorded into a log file of the audit.
AUDIT_SECONDS = 2.5
# A run is let go on for so long at a time: it reads one or two files meanwhile.
STEP_SECONDS = 0.02
# The command of a task: it lists a bucket page by page, reads what each page names, and says how each went.
READ_PAGE_AFTER_PAGE = """
import botocore.session, os, time
from botocore.exceptions import ClientError
s3, onward = botocore.session.get_session().create_client("s3", region_name=os.environ["AWS_REGION"]), {{}}
while True:
    try:
        page = s3.list_objects_v2(Bucket="{bucket}", Prefix="{folder}", MaxKeys=2, **onward)
        for entry in page["Contents"]:
            s3.get_object(Bucket="{bucket}", Key=entry["Key"])["Body"].read()
        onward = {{"ContinuationToken": page["NextContinuationToken"]}} if page["IsTruncated"] else {{}}
        print("read", flush=True)
    except ClientError as error:
        print(error.response["Error"]["Code"], flush=True)
    time.sleep(0.2)
"""


@dataclass(frozen=True)
class Decision:
    """One run of share.yml."""

    run: subprocess.CompletedProcess[str]
    seconds: float


@dataclass(frozen=True)
class Revocation(Decision):
    """What the organisation met meanwhile.

    `pages` is how each page went for a task that reads on and on, and `task_runs_on` whether it does. `read` is how
    many files a run of the pipeline had read by then, and `manifest` what that run wrote in the end.
    """

    pages: list[str]
    task_runs_on: bool
    read: int
    manifest: dict[str, Any]


@dataclass(frozen=True)
class Authority:
    """What the authorities' own operators can do, above all camden's, and what others see of it."""

    settings: Settings
    organisation: Organisation
    playbook: Playbook
    identity: list[str]

    @property
    def bucket(self) -> str:
        return self.organisation.bucket(ACCOUNT, "shared")

    def client(self, account: str, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
        """As the account's root."""
        return sessions.client_of_root(self.settings, account, service)

    def decides(self, share: str, *arguments: str) -> Decision:
        """By camden's own operator."""
        return self.decided((ACCOUNT,), share, *self.identity, *arguments)

    def decided(self, authorities: tuple[str, ...], share: str, *arguments: str) -> Decision:
        began = time.monotonic()
        run = self.playbook("share", "--limit", ",".join(authorities), "-e", f"share={share}", *arguments)
        seconds = time.monotonic() - began
        assert run.returncode == 0, failures(run)
        return Decision(run, seconds)

    def lets_in(self, key: str = f"{FOLDER}manifest.json") -> bool:
        """Whether the organisation's pipeline reads an object; always with the same session."""
        return self.organisation.refusal(READER, "get_object", Bucket=self.bucket, Key=key) is None

    def manifest(self) -> dict[str, Any]:
        """What the organisation's pipeline says of the table header; nothing while it has not written it."""
        try:
            found = self.organisation.read(GATHERER, self.organisation.bucket(ORGANISATION, "data-store"), MANIFEST)
        except ClientError:
            return {}
        manifest: dict[str, Any] = json.loads(found)
        return manifest

    def failed_runs(self) -> set[str]:
        """Runs of the organisation's Dagster that failed, from its own records, read as its own user."""
        (database,) = self.client(ORGANISATION, "rds").describe_db_instances()["DBInstances"]
        (stack,) = self.client(ORGANISATION, "cloudformation").describe_stacks(StackName="localgov-database")["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        secret = self.client(ORGANISATION, "secretsmanager").get_secret_value(SecretId=outputs["DatabaseSecretArn"])
        login = json.loads(secret["SecretString"])
        connection = psycopg2.connect(
            host=database["Endpoint"]["Address"],
            port=database["Endpoint"]["Port"],
            dbname=database["DBName"],
            user=login["username"],
            password=login["password"],
            sslmode="require",
        )
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT run_id FROM runs WHERE status = 'FAILURE'")
            failed = {row[0] for row in cursor.fetchall()}
        connection.close()
        return failed


@pytest.fixture(scope="module")
def own_operator(
    settings: Settings, deployed: subprocess.CompletedProcess[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    """Arguments by which a playbook is run by a user of camden's who may assume camden's deploy role and no more."""
    iam = sessions.client_of_root(settings, ACCOUNT, "iam")
    user, policy = "share-operator", "assume-the-deploy-role"
    role = iam.get_role(RoleName=DEPLOY_ROLE)["Role"]
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role["Arn"]}
    arn = iam.create_user(UserName=user)["User"]["Arn"]
    iam.put_user_policy(UserName=user, PolicyName=policy, PolicyDocument=document(may))
    trusted = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": arn}}
    before: dict[str, Any] = dict(role["AssumeRolePolicyDocument"])
    iam.update_assume_role_policy(
        RoleName=DEPLOY_ROLE, PolicyDocument=json.dumps({**before, "Statement": [*before["Statement"], trusted]})
    )
    key = iam.create_access_key(UserName=user)["AccessKey"]
    credentials = tmp_path_factory.mktemp("operator") / "credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(
        f"[authority]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n"
    )
    yield identity("authority", credentials)
    iam.update_assume_role_policy(RoleName=DEPLOY_ROLE, PolicyDocument=json.dumps(before))
    iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=user, PolicyName=policy)
    iam.delete_user(UserName=user)


def identity(profile: str, credentials: Path) -> list[str]:
    return [
        *("-e", f"ansible_aws_account_profile={profile}"),
        *("-e", f"ansible_aws_account_shared_credentials_file={credentials}"),
    ]


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture(scope="module")
def submission(organisation: Organisation) -> Submission:
    """A file of camden's that was accepted. The organisation has gathered it, and goes on to what follows."""
    sent = upload(organisation.frontend(ACCOUNT), sample("episodes.csv"))
    assert wait_for_result(sent) == "accepted"

    def is_gathered() -> bool:
        rows = organisation.regional(sent.dataset, sent.year, "episodes")
        return any(row["submission"] == sent.identifier for row in rows)

    wait_for(is_gathered, "the organisation to gather the file", 120)
    return sent


@pytest.fixture(scope="module")
def authority(
    settings: Settings,
    organisation: Organisation,
    playbook: Playbook,
    own_operator: list[str],
    submission: Submission,
) -> Iterator[Authority]:
    """Camden, and croydon beside it, with files in their shared buckets; as it was before afterwards."""
    found = Authority(settings, organisation, playbook, own_operator)
    files = [(account, key, content) for account, share in SHARED.items() for key, content in share.items()]
    files.append((ACCOUNT, OTHER_DATASET, b"hello"))
    pipelines = {account: organisation.s3(Principal(account, READER.role)) for account in SHARED}
    for account, key, content in files:
        pipelines[account].put_object(Bucket=organisation.bucket(account, "shared"), Key=key, Body=content)
    yield found
    found.decided((ACCOUNT,), "granted")
    for account, key, _ in files:
        pipelines[account].delete_object(Bucket=organisation.bucket(account, "shared"), Key=key)


@dataclass(frozen=True)
class Reader:
    """A running task of the organisation's pipeline, with the pipeline's own role and image."""

    authority: Authority
    task: str

    def pages(self) -> list[str]:
        """How each page went, from the task's log."""
        logs = self.authority.client(ORGANISATION, "logs")
        stream = f"run/run/{self.task.rpartition('/')[2]}"
        found: list[dict[str, str]] = []
        try:
            page, token = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True), None
            while page["nextForwardToken"] != token:
                found += page["events"]
                token = page["nextForwardToken"]
                page = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, nextToken=token)
        except logs.exceptions.ResourceNotFoundException:
            return []  # the stream is made with its first line
        return [event["message"].strip() for event in found]

    def runs(self) -> bool:
        ecs = self.authority.client(ORGANISATION, "ecs")
        (task,) = ecs.describe_tasks(cluster=CLUSTER, tasks=[self.task])["tasks"]
        return bool(task["lastStatus"] == "RUNNING")


@contextmanager
def reading(authority: Authority) -> Iterator[Reader]:
    """A task reads camden's bucket page after page, and has begun to."""
    ecs = authority.client(ORGANISATION, "ecs")
    (daemon,) = ecs.describe_services(cluster=CLUSTER, services=["daemon"])["services"]
    command = READ_PAGE_AFTER_PAGE.format(bucket=authority.bucket, folder=FOLDER)
    started = ecs.run_task(
        cluster=CLUSTER,
        taskDefinition="localgov-run",
        launchType="FARGATE",
        networkConfiguration=daemon["networkConfiguration"],
        overrides={"containerOverrides": [{"name": "run", "command": ["python", "-c", command]}]},
    )
    reader = Reader(authority, started["tasks"][0]["taskArn"])
    try:
        wait_for(lambda: "read" in reader.pages(), "a task of the organisation to read its first page", 60)
        yield reader
    finally:
        ecs.stop_task(cluster=CLUSTER, task=reader.task, reason="The test is over")


@pytest.fixture(scope="module")
def failed_before(authority: Authority) -> set[str]:
    return authority.failed_runs()


def runs_at_work(authority: Authority) -> list[psutil.Process]:
    """The leading processes of the organisation's runs that Dagster has started."""
    mark = f"{authority.settings.state}:"
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get(MARK, "").startswith(mark) and "execute_run" in " ".join(process.cmdline())
            if ours and process.environ().get("ACCOUNT_NAME") == ORGANISATION and os.getsid(process.pid) == process.pid:
                found.append(process)
        except (psutil.Error, OSError):  # it ended meanwhile
            continue
    return found


def files_read_since(authority: Authority, moment: float) -> set[str]:
    """Keys of the folder that the organisation's pipeline has read, as camden's own audit tells."""
    s3 = authority.client(ACCOUNT, "s3")
    bucket = authority.organisation.bucket(ACCOUNT, "audit")
    since = datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = set()
    for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        if entry["LastModified"].timestamp() < int(moment) or not entry["Key"].endswith(".json.gz"):
            continue
        records = json.loads(gzip.decompress(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()))["Records"]
        keys |= {
            record["requestParameters"]["key"]
            for record in records
            if record["eventName"] == "GetObject" and record["eventTime"] >= since
        }
    return {key for key in keys if key.startswith(FOLDER)}


def has_copied_a_file(authority: Authority) -> bool:
    """Whether a file of camden's folder is in the organisation's own bucket: one is copied before the next is read."""
    s3 = authority.client(ORGANISATION, "s3")
    bucket = authority.organisation.bucket(ORGANISATION, "data-store")
    copies = s3.list_objects_v2(Bucket=bucket, Prefix=f"regional/{FOLDER}").get("Contents", [])
    return any(f"/local_authority={ACCOUNT}/" in copy["Key"] for copy in copies)


def send(runs: list[psutil.Process], number: signal.Signals) -> None:
    """A signal to each run with all its processes; what has ended needs none."""
    for run in runs:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, number)


@contextmanager
def held_while_it_reads(authority: Authority) -> Iterator[int]:
    """A run of the pipeline that has read some of camden's files, how many, and is stopped before the others.

    A run reads ten small files in a fraction of a second. It goes on in steps that are too short for that, with a look
    between two of them.
    """
    began = time.time()
    deadline = time.monotonic() + 180
    runs: list[psutil.Process] = []
    try:
        while not has_copied_a_file(authority):
            assert time.monotonic() < deadline, "no run of the organisation's pipeline was seen reading camden's files"
            runs = runs_at_work(authority)
            send(runs, signal.SIGCONT)
            time.sleep(STEP_SECONDS)
            send(runs, signal.SIGSTOP)
        time.sleep(AUDIT_SECONDS)
        yield len(files_read_since(authority, began))
    finally:
        send(runs, signal.SIGCONT)


@pytest.fixture(scope="module")
def revoked(authority: Authority, failed_before: set[str]) -> Revocation:
    """Camden revokes while a run of the organisation's pipeline is at work on its files, and a task reads on and on."""
    # Not a file of the folder: the read of one would be taken for the run's.
    assert authority.lets_in(OTHER_DATASET)
    with held_while_it_reads(authority) as read, reading(authority) as reader:
        decision = authority.decides("revoked")
        proved = len(reader.pages())
        wait_for(lambda: len(reader.pages()) > proved + 1, "the task to ask for another page", 30)
        pages, runs_on = reader.pages(), reader.runs()

    def written_by_the_run() -> dict[str, Any] | None:
        manifest = authority.manifest()
        return manifest if manifest.get("retry_at") else None

    manifest = wait_for(written_by_the_run, "the run that was refused to write its table", 60)
    return Revocation(decision.run, decision.seconds, pages, runs_on, read, manifest)


def test_a_decision_asks_for_what_it_needs(deployed: subprocess.CompletedProcess[str], playbook: Playbook) -> None:
    unnamed, limits = "Name each authority that decides", "belongs into the inventory"
    to_write = 'under camden in inventories/sandbox/hosts.yml `platform_share_prefixes: ["ssda903"]` and'
    for arguments, messages in [
        (["-e", "share=revoked"], [unnamed]),
        (["--limit", "all", "-e", "share=revoked"], [unnamed]),
        (["--limit", "local_authorities:!sutton", "-e", "share=revoked"], [unnamed]),
        (["--limit", ACCOUNT, "-e", "share=closed"], ["granted or revoked, not closed"]),
        (["--limit", ORGANISATION, "-e", "share=revoked"], ["hub is the organisation and shares no bucket"]),
        (
            ["--limit", ACCOUNT, "-e", "share=granted", "-e", json.dumps({**ONE_DATASET, **EXPIRED})],
            [limits, to_write, '`platform_share_expires: "2020-01-01"`'],
        ),
    ]:
        refused = playbook("share", *arguments)
        assert refused.returncode != 0
        assert all(counts["changed"] == 0 for counts in recap(refused).values())
        said = " ".join(refused.stdout.replace("\\", "").split())
        assert [message for message in messages if message not in said] == [], said


def test_a_persons_page_says_that_the_organisation_may_read_the_file(
    organisation: Organisation, submission: Submission
) -> None:
    reader = f"The organisation (account {organisation.account_id(ORGANISATION)})"
    assert re.search(rf"{re.escape(reader)} may read this: since .+, until Camden revokes it\.", page_text(submission))


def test_an_authority_revokes_with_an_operator_who_reaches_nothing_of_the_organisation(
    authority: Authority, revoked: Revocation
) -> None:
    assert recap(revoked.run).keys() == {ACCOUNT}
    assert recap(revoked.run)[ACCOUNT]["changed"] > 0
    theirs = authority.playbook("site", "--check", "--limit", ORGANISATION, *authority.identity)
    assert recap(theirs)[ORGANISATION]["unreachable"] == 1


def test_what_is_revoked_is_proved_and_the_line_to_change_is_named(revoked: Revocation) -> None:
    said = " ".join(revoked.run.stdout.split())
    closed = "Proved: no statement in the policy of localgov-012345670123-shared lets anybody in from outside account"
    assert closed in said
    assert "Write `platform_share: revoked` under camden in inventories/sandbox/hosts.yml" in said


def test_a_persons_page_says_that_nobody_may_read_the_file_any_more(
    submission: Submission, revoked: Revocation
) -> None:
    page = page_text(submission)
    assert re.search(r"Nobody outside Camden may read this: the share was revoked on \d+ \w+ \d{4} at .+\.", page)
    assert "The organisation" not in page


def test_a_task_that_reads_is_refused_from_one_page_to_the_next_and_stays_refused(
    authority: Authority, revoked: Revocation
) -> None:
    reads = [page == "read" for page in revoked.pages]
    assert reads[0], "the task was let in before"
    assert not any(reads[-2:]), "it is refused once the playbook says that this is proved"
    assert reads == sorted(reads, reverse=True), "and was never let in again in between"
    assert set(revoked.pages) == {"read", "AccessDenied"}
    assert revoked.task_runs_on, "its session is the one that it had before"
    assert authority.organisation.refusal(READER, "list_objects_v2", Bucket=authority.bucket)


def test_a_run_that_was_reading_is_refused_its_next_file_and_ends_with_what_the_others_share(
    revoked: Revocation,
) -> None:
    assert 0 < revoked.read < len(SHARED[ACCOUNT]), "it had read some of the files, and not all"
    assert revoked.manifest["rows"] == {OTHER: ROWS[OTHER]}
    assert [entry["local_authority"] for entry in revoked.manifest["skipped"]] == [ACCOUNT]
    assert "access is refused" in revoked.manifest["skipped"][0]["reason"]


def test_a_deployment_after_that_changes_nothing_and_says_that_the_authority_revoked(
    authority: Authority, revoked: Revocation, playbook: Playbook
) -> None:
    deployment = playbook("site", "--limit", ACCOUNT)
    assert deployment.returncode == 0, failures(deployment)
    assert recap(deployment)[ACCOUNT]["changed"] == 0
    said = " ".join(deployment.stdout.split())
    assert "It stays revoked, whatever the inventory says" in said
    assert "playbooks/share.yml -l camden -e share=granted" in said
    assert not authority.lets_in()


def test_the_organisations_pipeline_goes_on_without_the_authority_and_says_why(
    authority: Authority, revoked: Revocation, failed_before: set[str]
) -> None:
    def without_it() -> dict[str, Any] | None:
        manifest = authority.manifest()
        return manifest if manifest.get("rows") == {OTHER: ROWS[OTHER]} and not manifest["retry_at"] else None

    manifest = wait_for(without_it, f"the regional table without {ACCOUNT}", 120)
    assert {entry["local_authority"]: "access is refused" in entry["reason"] for entry in manifest["skipped"]} == {
        ACCOUNT: True
    }
    rows = authority.organisation.regional("ssda903", YEAR, "header")
    assert {row["local_authority"] for row in rows} == {OTHER}
    assert authority.failed_runs() == failed_before


def inventory(folder: Path, **variables: object) -> tuple[str, str]:
    """Arguments for camden's variables in an inventory of their own, beside the sandbox's."""
    file = folder / "share.yml"
    file.write_text(json.dumps({"all": {"hosts": {ACCOUNT: variables}}}), encoding="utf-8")
    return "-i", str(file)


@pytest.fixture(scope="module")
def granted(authority: Authority, revoked: Revocation, tmp_path_factory: pytest.TempPathFactory) -> Decision:
    """Camden opens again, with one dataset."""
    return authority.decides("granted", *inventory(tmp_path_factory.mktemp("one-dataset"), **ONE_DATASET))


def test_the_same_session_is_let_in_again_and_only_to_the_dataset_that_is_shared(
    authority: Authority, granted: Decision
) -> None:
    assert "Proved: only the declared statements" in " ".join(granted.run.stdout.split())
    assert authority.lets_in()
    assert not authority.lets_in(OTHER_DATASET)
    refusal = authority.organisation.refusal
    assert refusal(READER, "list_objects_v2", Bucket=authority.bucket, Prefix="ssda903/") is None
    assert refusal(READER, "list_objects_v2", Bucket=authority.bucket)


def test_a_persons_page_says_that_the_organisation_may_read_the_file_again(
    submission: Submission, granted: Decision
) -> None:
    assert ") may read this: since " in page_text(submission)


def test_the_organisations_pipeline_catches_up_by_itself(
    authority: Authority, granted: Decision, failed_before: set[str]
) -> None:
    wait_for(lambda: authority.manifest()["rows"] == ROWS, f"the regional table with {ACCOUNT} again", 120)
    assert authority.manifest()["skipped"] == []
    assert authority.failed_runs() == failed_before


@pytest.fixture(scope="module")
def until_soon(
    authority: Authority, granted: Decision, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Decision, float]:
    """Camden shares the whole bucket until a moment that comes some seconds after this is proved."""
    ends = math.ceil(time.time() + 3 * granted.seconds + 5)
    limited = inventory(
        tmp_path_factory.mktemp("until-soon"),
        platform_share_expires=datetime.fromtimestamp(ends, UTC).isoformat(),
    )
    return authority.decides("granted", *limited), ends


def test_a_share_until_a_moment_lets_in_until_then_and_nobody_after_it(
    authority: Authority, until_soon: tuple[Decision, float], submission: Submission
) -> None:
    _, ends = until_soon
    assert authority.lets_in(OTHER_DATASET), "without a limit of prefixes the whole bucket is shared"
    assert time.time() < ends, "proved before the share ends"
    asked = time.time()
    while authority.lets_in():
        assert asked < ends + 1
        time.sleep(0.1)
        asked = time.time()
    assert time.time() >= ends, "not refused before the end"
    assert "Nobody outside Camden may read this: the share ended on " in page_text(submission)
    assert authority.organisation.refusal(READER, "list_objects_v2", Bucket=authority.bucket)


@pytest.mark.slow
def test_the_time_to_proof_is_measured_for_each_authority_against_one_bare_call(
    authority: Authority, revoked: Revocation, granted: Decision, until_soon: tuple[Decision, float]
) -> None:
    call = bare_call(authority)
    others = {other: authority.decided((other,), "revoked") for other in AUTHORITIES if other != ACCOUNT}
    try:
        for other in others:
            bucket = authority.organisation.bucket(other, "shared")
            assert authority.organisation.refusal(READER, "list_objects_v2", Bucket=bucket)
    finally:
        authority.decided(tuple(others), "granted")
    measured = [
        ratio(f"{ACCOUNT}, revoked while the bucket is read", revoked.seconds, call),
        *(ratio(f"{other}, revoked", decision.seconds, call) for other, decision in others.items()),
        ratio(f"{ACCOUNT}, granted again for one dataset", granted.seconds, call),
        ratio(f"{ACCOUNT}, granted as a whole until a moment", until_soon[0].seconds, call),
    ]
    record("share", measured)
    assert [entry["value"] > 1 for entry in measured] == [True] * len(measured), "proof takes more than the bare call"


def bare_call(authority: Authority) -> float:
    """Seconds that one PutBucketPolicy takes, the policy being what it is: the median of nine."""
    s3 = authority.client(ACCOUNT, "s3")
    policy = s3.get_bucket_policy(Bucket=authority.bucket)["Policy"]
    calls = []
    for _ in range(9):
        began = time.monotonic()
        s3.put_bucket_policy(Bucket=authority.bucket, Policy=policy)
        calls.append(time.monotonic() - began)
    return statistics.median(calls)


def ratio(what: str, seconds: float, call: float) -> dict[str, Any]:
    return {
        "name": f"share.yml from its start to proved: {what}",
        "value": round(seconds / call),
        "unit": "bare PutBucketPolicy calls",
        "seconds": round(seconds, 2),
        "put_bucket_policy_seconds": round(call, 4),
    }
