# SPDX-License-Identifier: GPL-3.0-or-later

"""The faults are what boto3 takes for faults, the comparison sees what is doubled, and rollouts get through."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.faults import soak
from tests.faults.proxy import FaultProxy, Faults
from tests.faults.state import differences, held
from tests.sandbox.conftest import Sandbox

CODES = {
    "throttled": {
        "sts": "Throttling", "ec2": "RequestLimitExceeded", "s3": "SlowDown", "ecs": "ThrottlingException",
        "scheduler": "ThrottlingException",
    },
    "server error": {
        "sts": "InternalFailure", "ec2": "InternalError", "s3": "InternalError", "ecs": "InternalServerError",
        "scheduler": "InternalServerError",
    },
    "session expired": {
        "ec2": "RequestExpired", "s3": "ExpiredToken", "ecs": "ExpiredTokenException",
        "scheduler": "ExpiredTokenException",
    },
    "clock skewed": {
        "sts": "SignatureDoesNotMatch", "ec2": "RequestExpired", "s3": "RequestTimeTooSkewed",
        "ecs": "InvalidSignatureException", "scheduler": "InvalidSignatureException",
    },
}  # fmt: skip
CALLS: dict[str, Callable[[Any], Any]] = {
    "sts": lambda sts: sts.get_caller_identity(),
    "ec2": lambda ec2: ec2.describe_vpcs(),
    "s3": lambda s3: s3.list_buckets(),
    "ecs": lambda ecs: ecs.list_clusters(),
    "scheduler": lambda scheduler: scheduler.list_schedules(),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    shared = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
    shared.start()
    yield shared
    shared.run("stop")


@contextmanager
def only(sandbox: Sandbox, fault: str, rate: float = 1.0) -> Iterator[Callable[[str], Any]]:
    """A maker of clients whose calls all have that fault."""
    faults = Faults(seed=1, rate=rate, stall_seconds=0, weights={fault: 1})
    with FaultProxy(sandbox.description["endpoint_url"], sandbox.folder / "certificates", faults) as proxy:
        yield lambda service: sandbox.client(service, sandbox.root("camden"), endpoint=proxy.url)


@pytest.mark.parametrize(("fault", "service"), [(fault, service) for fault in CODES for service in CODES[fault]])
def test_a_refusal_is_one_in_the_words_of_each_kind_of_service(sandbox: Sandbox, fault: str, service: str) -> None:
    with only(sandbox, fault) as client, pytest.raises(ClientError) as refused:
        CALLS[service](client(service))
    assert refused.value.response["Error"]["Code"] == CODES[fault][service]


def test_a_call_whose_answer_is_lost_took_effect_and_one_that_is_cut_off_before_did_not(sandbox: Sandbox) -> None:
    where = {"LocationConstraint": "eu-west-2"}
    for fault, name in (("reset before", "never"), ("reset after", "lost")):
        with only(sandbox, fault) as client, pytest.raises(ConnectionClosedError):
            client("s3").create_bucket(Bucket=f"localgov-{name}", CreateBucketConfiguration=where)
    buckets = sandbox.client("s3", sandbox.root("camden")).list_buckets()["Buckets"]
    names = {bucket["Name"] for bucket in buckets}
    assert "localgov-lost" in names
    assert "localgov-never" not in names


def test_calls_pass_through_unchanged_where_nothing_goes_wrong(sandbox: Sandbox) -> None:
    direct = sandbox.client("s3", sandbox.root("camden"))
    direct.create_bucket(Bucket="localgov-passed", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    for fault, rate in (("throttled", 0), ("stalled", 1)):
        with only(sandbox, fault, rate) as client:
            s3 = client("s3")
            s3.put_object(Bucket="localgov-passed", Key="a", Body=b"x" * 100_000)
            assert s3.get_object(Bucket="localgov-passed", Key="a")["Body"].read() == b"x" * 100_000
            assert s3.head_object(Bucket="localgov-passed", Key="a")["ContentLength"] == 100_000


def test_a_session_that_has_expired_stays_so(sandbox: Sandbox) -> None:
    faults = Faults(seed=1, rate=1.0, weights={"session expired": 1})
    assert faults.draw("ASIA1", "s3") == "session expired"
    faults.rate = 0
    assert faults.draw("ASIA1", "ecs") == "session expired"
    assert faults.draw("ASIA2", "ecs") == "passed"


def test_the_same_seed_draws_the_same_faults() -> None:
    def drawn(seed: int) -> list[str]:
        faults = Faults(seed)
        return [faults.draw(f"ASIA{number}", "s3") for number in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 20 < sum(fault != "passed" for fault in drawn(1)) < 60


def test_the_comparison_sees_what_is_doubled_missing_or_different(sandbox: Sandbox) -> None:
    def account() -> dict[str, list[str]]:
        return held(lambda service: sandbox.client(service, sandbox.root("sutton")))

    ec2, s3, kms, ecr = (sandbox.client(service, sandbox.root("sutton")) for service in ("ec2", "s3", "kms", "ecr"))
    ecr.create_repository(repositoryName="localgov/frontend")
    s3.create_bucket(Bucket="localgov-own", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    ec2.create_vpc(CidrBlock="10.7.0.0/16")
    before = account()
    assert differences(before, account()) == []
    ec2.create_vpc(CidrBlock="10.7.0.0/16")
    s3.put_bucket_versioning(Bucket="localgov-own", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="localgov-own", Key="left.json", Body=b"{}")
    kms.create_key(Description="made twice")
    anybody = {"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [anybody]})
    ecr.set_repository_policy(repositoryName="localgov/frontend", policyText=policy)
    found = differences(before, account())
    assert [line for line in found if "left.json" in line]
    assert [line for line in found if line.startswith("too much key:") and "made twice" in line]
    assert [line for line in found if line.startswith("too much who may pull:") and "BatchGetImage" in line]
    assert [line.split(":")[0] for line in found if "Vpc" in line.split(":")[0]] == ["too much ec2 Vpcs"]
    assert [line.split(":")[0] for line in found if "bucket" in line.split(":")[0]] == [
        "missing bucket",
        "too much bucket",
    ]


def test_rollouts_get_through_faults_an_interruption_and_a_kill_and_end_in_the_same_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two seeds, an interruption and a kill of those that `make soak` tries."""
    few = ["--seeds", "2", "--kills", "2", "--workers", "1", "--stall-seconds", "1"]
    where = ["--folder", str(tmp_path), "--log", str(tmp_path / "runs.jsonl")]
    assert soak.main([*few, *where]) == 0, capsys.readouterr().out[-6000:]
    runs = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert {run["name"].split()[0] for run in runs} == {"seed", "SIGINT", "SIGKILL"}
    assert sum(sum(run["faults"].values()) - run["faults"].get("passed", 0) for run in runs) > 5
