# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority's own switch: it revokes while the organisation reads, alone, and opens again.

The tests follow one revocation from its beginning to its end, so that the pipeline's sensors are waited for only once.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from botocore.exceptions import ClientError

from sandbox import sessions
from sandbox.journey.organisation import GATHERER, ORGANISATION, READER, Organisation, Principal
from sandbox.journey.person import wait_for
from sandbox.settings import ROOT, Settings
from tests.e2e.conftest import Playbook
from tests.e2e.test_deployment import recap

ACCOUNT = "camden"
OTHER = "croydon"
DEPLOY_ROLE = "localgov-deploy"
# A year of its own, for a regional table that no other test writes.
FOLDER = "ssda903/2027/header/"
OTHER_DATASET = "another/file.csv"
MANIFEST = "regional/ssda903/2027/header.json"
FILE = b"SEX,DOB,ETHNIC,MOTHER,MC_DOB\nM,2012-03,WBRI,,\n"
FILES = {ACCOUNT: 300, OTHER: 3}


@dataclass
class Decision:
    """One run of share.yml. `reads` says of each read meanwhile, with one session, whether it was let in."""

    run: subprocess.CompletedProcess[str]
    seconds: float
    reads: list[bool] = field(default_factory=list)


@dataclass(frozen=True)
class Authority:
    """What camden's own operator can do, and what others see of it."""

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
        began = time.monotonic()
        run = self.playbook("share", "--limit", ACCOUNT, "-e", f"share={share}", *self.identity, *arguments)
        seconds = time.monotonic() - began
        assert run.returncode == 0, run.stdout[-4000:]
        return Decision(run, seconds)

    def lets_in(self, key: str = f"{FOLDER}000.csv") -> bool:
        """Whether the organisation's pipeline reads an object; always with the same session."""
        return self.organisation.refusal(READER, "get_object", Bucket=self.bucket, Key=key) is None

    def manifest(self) -> dict[str, Any]:
        """What the organisation's pipeline says of the table; nothing while it has not written it."""
        try:
            found = self.organisation.read(GATHERER, self.organisation.bucket(ORGANISATION, "data-store"), MANIFEST)
        except ClientError:
            return {}
        manifest: dict[str, Any] = json.loads(found)
        return manifest

    def failed_runs(self) -> set[str]:
        """Runs of the organisation's Dagster that failed, from its own records."""
        (database,) = self.client(ORGANISATION, "rds").describe_db_instances()["DBInstances"]
        secret = self.client(ORGANISATION, "secretsmanager").get_secret_value(
            SecretId=database["MasterUserSecret"]["SecretArn"]
        )
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
    iam = sessions.of_root(settings, ACCOUNT).client(
        "iam", endpoint_url=settings.endpoint_url, verify=str(settings.ca_bundle)
    )
    user, policy = "share-operator", "assume-the-deploy-role"
    role = iam.get_role(RoleName=DEPLOY_ROLE)["Role"]
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role["Arn"]}
    arn = iam.create_user(UserName=user)["User"]["Arn"]
    iam.put_user_policy(UserName=user, PolicyName=policy, PolicyDocument=document(may))
    trusted = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": arn}}
    before: dict[str, Any] = dict(role["AssumeRolePolicyDocument"])  # type: ignore[arg-type]  # botocore has parsed it
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
def authority(
    settings: Settings, organisation: Organisation, playbook: Playbook, own_operator: list[str]
) -> Iterator[Authority]:
    """Camden, and croydon beside it, with files in their shared buckets; as it was before afterwards."""
    found = Authority(settings, organisation, playbook, own_operator)
    files = [(account, f"{FOLDER}{number:03}.csv") for account, count in FILES.items() for number in range(count)]
    files.append((ACCOUNT, OTHER_DATASET))
    pipelines = {account: organisation.s3(Principal(account, READER.role)) for account in FILES}
    for account, key in files:
        pipelines[account].put_object(Bucket=organisation.bucket(account, "shared"), Key=key, Body=FILE)
    yield found
    if organisation.refusal(READER, "list_objects_v2", Bucket=found.bucket):
        found.decides("granted")
    for account, key in files:
        pipelines[account].delete_object(Bucket=organisation.bucket(account, "shared"), Key=key)


@contextmanager
def reading(authority: Authority) -> Iterator[list[bool]]:
    """The organisation's session reads all the time, in a thread of its own."""
    reads: list[bool] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(0.25):
            reads.append(authority.lets_in())

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield reads
    finally:
        ended.set()
        thread.join()


@pytest.fixture(scope="module")
def failed_before(authority: Authority) -> set[str]:
    return authority.failed_runs()


@pytest.fixture(scope="module")
def revoked(authority: Authority, failed_before: set[str]) -> Decision:
    """Camden revokes while a run of the organisation's pipeline is at work on its files."""
    assert authority.lets_in()
    ecs = authority.client(ORGANISATION, "ecs")
    wait_for(
        lambda: ecs.list_tasks(cluster="localgov", family="localgov-run", desiredStatus="RUNNING")["taskArns"],
        "the organisation's pipeline to begin a run",
        90,
    )
    with reading(authority) as reads:
        decision = authority.decides("revoked")
    decision.reads = reads
    return decision


def test_a_decision_asks_for_what_it_needs(deployed: subprocess.CompletedProcess[str], playbook: Playbook) -> None:
    for arguments, message in [
        (["-e", "share=revoked"], "Name the authorities that decide, as in --limit camden"),
        (["--limit", ACCOUNT, "-e", "share=closed"], "granted or revoked, not closed"),
        (["--limit", ORGANISATION, "-e", "share=revoked"], "hub is the organisation and shares no bucket"),
    ]:
        refused = playbook("share", *arguments)
        assert refused.returncode != 0
        assert message in " ".join(refused.stdout.split())


def test_an_authority_revokes_with_an_operator_who_reaches_nothing_of_the_organisation(
    authority: Authority, revoked: Decision
) -> None:
    assert recap(revoked.run).keys() == {ACCOUNT}
    assert recap(revoked.run)[ACCOUNT]["changed"] > 0
    theirs = authority.playbook("site", "--check", "--limit", ORGANISATION, *authority.identity)
    assert recap(theirs)[ORGANISATION]["unreachable"] == 1


def test_what_is_revoked_is_proved_and_the_line_to_change_is_named(revoked: Decision) -> None:
    said = " ".join(revoked.run.stdout.split())
    closed = "Proved: no statement in the policy of localgov-012345670123-shared lets anybody in from outside account"
    assert closed in said
    assert "Write `platform_share: revoked` under camden in inventories/sandbox/hosts.yml" in said


def test_a_session_from_before_is_refused_from_one_read_to_the_next_and_stays_refused(
    authority: Authority, revoked: Decision
) -> None:
    assert revoked.reads[0], "the session was let in before"
    assert not revoked.reads[-1], "it is refused once the playbook says that this is proved"
    assert revoked.reads == sorted(revoked.reads, reverse=True), "and was never let in again in between"
    assert authority.organisation.refusal(READER, "list_objects_v2", Bucket=authority.bucket)


def test_a_deployment_after_that_changes_nothing_and_says_that_the_authority_revoked(
    authority: Authority, revoked: Decision, playbook: Playbook
) -> None:
    deployment = playbook("site", "--limit", ACCOUNT)
    assert deployment.returncode == 0, deployment.stdout[-4000:]
    assert recap(deployment)[ACCOUNT]["changed"] == 0
    said = " ".join(deployment.stdout.split())
    assert "It stays revoked, whatever the inventory says" in said
    assert "playbooks/share.yml -l camden -e share=granted" in said
    assert not authority.lets_in()


def test_the_organisations_pipeline_goes_on_without_the_authority_and_says_why(
    authority: Authority, revoked: Decision, failed_before: set[str]
) -> None:
    def without_it() -> dict[str, Any] | None:
        manifest = authority.manifest()
        return manifest if manifest.get("rows") == {OTHER: FILES[OTHER]} and not manifest["retry_at"] else None

    manifest = wait_for(without_it, f"the regional table without {ACCOUNT}", 120)
    assert {entry["local_authority"]: "access is refused" in entry["reason"] for entry in manifest["skipped"]} == {
        ACCOUNT: True
    }
    rows = authority.organisation.regional("ssda903", 2027, "header")
    assert {row["local_authority"] for row in rows} == {OTHER}
    assert authority.failed_runs() == failed_before


@pytest.fixture(scope="module")
def granted(authority: Authority, revoked: Decision) -> Decision:
    """Camden opens again, with one dataset."""
    return authority.decides("granted", "-e", '{"platform_share_prefixes": ["ssda903"]}')


def test_the_same_session_is_let_in_again_and_only_to_the_dataset_that_is_shared(
    authority: Authority, granted: Decision
) -> None:
    assert "Proved: only the declared statements" in " ".join(granted.run.stdout.split())
    assert authority.lets_in()
    assert not authority.lets_in(OTHER_DATASET)
    refusal = authority.organisation.refusal
    assert refusal(READER, "list_objects_v2", Bucket=authority.bucket, Prefix="ssda903/") is None
    assert refusal(READER, "list_objects_v2", Bucket=authority.bucket)


def test_the_organisations_pipeline_catches_up_by_itself(
    authority: Authority, granted: Decision, failed_before: set[str]
) -> None:
    wait_for(lambda: authority.manifest()["rows"] == FILES, f"the regional table with {ACCOUNT} again", 120)
    assert authority.manifest()["skipped"] == []
    assert authority.failed_runs() == failed_before


def test_a_share_until_a_day_that_is_past_lets_in_nobody(
    authority: Authority, granted: Decision, playbook: Playbook
) -> None:
    deployment = playbook("site", "--limit", ACCOUNT, "-e", "platform_share_expires=2020-01-01")
    assert deployment.returncode == 0, deployment.stdout[-4000:]
    assert "is past" in " ".join((deployment.stdout + deployment.stderr).split())
    assert not authority.lets_in()


def test_the_time_to_proof_is_measured_against_one_bare_call(
    authority: Authority, revoked: Decision, granted: Decision
) -> None:
    """Written to build/bench/share.json; a limit would judge the machine and not the platform."""
    whole = authority.decides("granted")
    assert authority.lets_in(OTHER_DATASET), "without a limit the whole bucket is shared"
    call = bare_call(authority)
    measured = [
        ratio("revoked while the bucket is read", revoked.seconds, call),
        ratio("granted again for one dataset", granted.seconds, call),
        ratio("granted as a whole", whole.seconds, call),
    ]
    target = ROOT / "build" / "bench" / "share.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(measured, indent=2) + "\n")
    print(*(f"{entry['name']}: {entry['value']} {entry['unit']}" for entry in measured), sep="\n")  # noqa: T201
    assert all(0 < entry["value"] < float("inf") for entry in measured)


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
        "name": f"share.yml of one authority from its start to proved, {what}",
        "value": round(seconds / call),
        "unit": "bare PutBucketPolicy calls",
        "seconds": round(seconds, 2),
        "put_bucket_policy_seconds": round(call, 4),
    }
