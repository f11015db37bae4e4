# SPDX-License-Identifier: GPL-3.0-or-later
"""What the prober says is what AWS does, by each way to a session."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.integration.access.conftest import INFO, PROBE, PULL, TRIED, Estate, Playbook, allow
from tests.sandbox.runtime.conftest import eventually

# Action, bucket or repository, prefix, and what comes of it for a friend of croydon.
MATRIX = [
    ("list", "open", "", "allowed"),
    ("list", "open", "ssda903", "allowed"),
    ("list", "closed", "", "refused"),
    ("get", "open", "ssda903", "allowed"),
    ("get", "open", "", "allowed"),
    ("get", "closed", "ssda903", "refused"),
    ("put", "open", "ssda903", "allowed"),
    ("put", "closed", "", "refused"),
    ("list_versions", "open", "ssda903", "allowed"),
    ("list_versions", "closed", "", "refused"),
    ("get_version", "open", "ssda903", "allowed"),
    ("get_version", "closed", "ssda903", "refused"),
    ("delete", "open", "ssda903", "allowed"),
    ("delete", "closed", "", "refused"),
    ("delete_version", "open", "", "allowed"),
    ("delete_version", "closed", "", "refused"),
    ("list_without_tls", "own", "", "allowed"),
    ("list_without_tls", "open", "", "refused"),
    ("pull", "open", "", "allowed"),
    ("pull", "closed", "", "refused"),
    ("push", "open", "", "allowed"),
    ("push", "closed", "", "refused"),
]


def matrix(estate: Estate) -> list[dict[str, Any]]:
    common = {"because": "of the test", "account": "camden"}
    return [
        estate.trial(action, name, prefix=prefix, expected=expected, **common, **_version(estate, action, name, prefix))
        for action, name, prefix, expected in MATRIX
    ]


def _version(estate: Estate, action: str, name: str, prefix: str) -> dict[str, str]:
    probe = "/".join(filter(None, [f"s3://{estate.bucket(name)}", prefix, ".access-probe/probe"]))
    return {"version": estate.versions[probe]} if action == "get_version" else {}


@pytest.fixture(scope="module")
def probed(estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """The estate with probes in croydon's buckets."""
    playbook = Playbook(estate.sandbox, tmp_path_factory.mktemp("probes"))
    buckets = [{"name": estate.bucket(name), "prefixes": ["", "ssda903"]} for name in ("open", "closed")]
    (laid,) = playbook.run({PROBE: {"buckets": buckets}}, host="croydon")
    estate.versions = laid["versions"]
    return estate


@pytest.fixture(scope="module")
def tried(probed: Estate, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of the matrix by each way to a session."""
    common = {"plain_http_endpoint_url": probed.plain_http}
    principals = {way: {"role": role, "trials": matrix(probed)} for way, role in probed.friends.items()}
    results = Playbook(probed.sandbox, tmp_path_factory.mktemp("matrix")).run(
        {INFO: {"principals": [{"trials": matrix(probed)}], **common}},
        {INFO: {"principals": [principals["assumed"]], **common}},
        {INFO: {"principals": [principals["task"]], "task": probed.task, **common}},
    )
    return dict(zip(("own", "assumed", "task"), results, strict=True))


@pytest.mark.parametrize("way", ["own", "assumed", "task"])
def test_each_action_is_let_in_and_refused_by_each_way_to_a_session(
    probed: Estate, tried: dict[str, dict[str, Any]], way: str
) -> None:
    made = tried[way]
    assert made["surprises"] == []
    assert not made["changed"]
    assert made["summary"] == {"allowed": 12, "refused": 10, "failed": 0}
    name = {"own": "localgov-deploy", **probed.friends}[way]
    session = f"arn:aws:sts::{probed.sandbox.account('camden')}:assumed-role/{name}"
    assert {trial["caller"].rpartition("/")[0] for trial in made["trials"]} == {session}
    assert [trial["outcome"] for trial in made["trials"] if "AccessDenied" in trial["reason"]] == 10 * ["refused"]
    kept = [{key: trial[key] for key in given} for given, trial in zip(matrix(probed), made["trials"], strict=True)]
    assert kept == matrix(probed), "what trials were given comes back"


@pytest.mark.usefixtures("tried")
def test_trials_leave_nothing_in_repositories_and_in_buckets_what_goes_with_the_probes(
    probed: Estate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ecr = probed.client("ecr", "croydon")
    assert ecr.describe_images(repositoryName=f"{probed.unique}/open")["imageDetails"] == []
    assert not list(probed.sandbox.folder.glob("layers/uploads/*"))
    left = probed.leftovers("own", "open", "closed")
    assert {key.rpartition("/")[2] for key in left} == {"run", "probe", "put", "none"}
    assert all(key.removeprefix("ssda903/").startswith(".access-probe/") for key in left)
    buckets = {"buckets": [{"name": probed.bucket(name), "prefixes": ["", "ssda903"]} for name in ("open", "closed")]}
    playbook = Playbook(probed.sandbox, tmp_path_factory.mktemp("cleared"))
    cleared, laid = playbook.run({PROBE: {"state": "absent", **buckets}}, {PROBE: buckets}, host="croydon")
    assert cleared["changed"]
    assert set(laid["versions"]) == set(probed.versions)
    probed.versions = laid["versions"]
    assert {key.rpartition("/")[2] for key in probed.leftovers("own", "open", "closed")} == {"run", "probe"}


def test_a_surprise_is_told_in_either_direction(probed: Estate, playbook: Playbook) -> None:
    trials = [
        probed.trial("list", "open", expected="refused"),
        probed.trial("list", "closed", expected="allowed"),
        probed.trial("list", "open", expected="allowed"),
        probed.trial("list", "closed"),
    ]
    made, predicted, unexpecting = playbook.run(
        {INFO: {"principals": [{"trials": trials}]}},
        {INFO: {"principals": [{"trials": trials}]}, "check": True},
        {INFO: {"principals": [{"trials": trials[3:]}]}},
    )
    assert made["surprises"] == made["trials"][:2]
    assert predicted["trials"] == made["trials"], "check mode tries the same"
    assert "surprises" not in unexpecting


def test_nothing_is_learned_where_there_is_no_probe_no_bucket_no_repository_or_no_endpoint(
    probed: Estate, playbook: Playbook
) -> None:
    trials = [
        probed.trial("get", "open", prefix="nowhere"),
        probed.trial("list", "missing"),
        probed.trial("pull", "half"),
        probed.trial("list_without_tls", "open"),
        probed.trial("list_without_tls", "own"),
    ]
    made = playbook.access({"trials": trials}, plain_http_endpoint_url="http://127.0.0.1:9")
    assert made["summary"] == {"allowed": 0, "refused": 0, "failed": 5}
    reasons = [trial["reason"] for trial in made["trials"]]
    assert "There is no probe nowhere/.access-probe/probe" in reasons[0]
    assert "NoSuchBucket" in reasons[1]
    assert reasons[2].startswith("partly: GetDownloadUrlForLayer refused, BatchGetImage, BatchCheckLayerAvail")
    assert reasons[3] == reasons[4]
    assert reasons[3].startswith("http://127.0.0.1:9 did not answer")
    assert "security group" in reasons[3]


def test_borrowed_rights_leave_the_refusal_to_the_other_account(
    probed: Estate, playbook: Playbook, unique: str
) -> None:
    deployer = f"arn:aws:iam::{probed.sandbox.account('camden')}:role/localgov-deploy"
    probed.role(unique, {"AWS": deployer})
    tried = [probed.trial("get", "closed"), probed.trial("pull", "closed")]
    own = playbook.access({"role": unique, "trials": tried})
    assert [trial["outcome"] for trial in own["trials"]] == ["refused", "refused"]
    assert all("no identity-based policy allows" in trial["reason"] for trial in own["trials"])

    statements = [allow([*TRIED, *PULL])]
    not_lent = probed.trial("push", "closed")
    borrowing = {
        "role": unique,
        "trials": [{**trial, "rights": "borrowed"} for trial in [*tried, not_lent, probed.trial("list", "own")]],
    }
    lent, borrowed, returned = playbook.run(
        {PROBE: {"roles": [{"name": unique, "statements": statements}]}},
        {INFO: {"principals": [borrowing]}},
        {PROBE: {"state": "absent", "roles": [{"name": unique}]}},
    )
    assert lent["changed"]
    assert returned["changed"]
    assert [trial["outcome"] for trial in borrowed["trials"]] == ["refused", "refused", "failed", "allowed"]
    assert borrowed["trials"][0]["reason"] == "AccessDenied: Access Denied"
    assert "no resource-based policy allows" in borrowed["trials"][1]["reason"]
    assert borrowed["trials"][2]["reason"].startswith("The borrowed rights do not come that far: AccessDenied")
    assert probed.client("iam").list_role_policies(RoleName=unique)["PolicyNames"] == []


def test_a_task_that_cannot_start_fails_its_trials_with_ecs_own_reason(
    probed: Estate, playbook: Playbook, unique: str
) -> None:
    ecs = {"Service": "ecs-tasks.amazonaws.com"}
    cannot_pull = probed.role(f"{unique}-execution", ecs, allow(["logs:CreateLogStream", "logs:PutLogEvents"]))
    image = probed.client("ecs").describe_task_definition(taskDefinition=probed.unique)["taskDefinition"]
    container = {"image": image["containerDefinitions"][0]["image"]}
    no_image = probed.definition(f"{unique}-pull", cannot_pull, **container)
    breaks = "import sys; sys.exit('no module named botocore')"
    broken = probed.definition(
        f"{unique}-broken", image["executionRoleArn"], **container, entryPoint=["python", "-c", breaks]
    )
    probed.role(f"{unique}-stranger", {"Service": "lambda.amazonaws.com"})
    friend = {"role": probed.friends["task"], "trials": [probed.trial("list", "open", expected="allowed")]}
    stranger = {"role": f"{unique}-stranger", "trials": [probed.trial("list", "open")]}
    pulled, started, assumed = playbook.run(
        {INFO: {"principals": [friend], "task": no_image}},
        {INFO: {"principals": [friend], "task": broken}},
        {INFO: {"principals": [stranger, friend], "task": probed.task}},
    )
    assert [result["trials"][0]["outcome"] for result in (pulled, started, assumed)] == 3 * ["failed"]
    assert "CannotPullContainerError" in pulled["trials"][0]["reason"]
    assert pulled["surprises"] == pulled["trials"]
    assert "exit code 1; no module named botocore" in started["trials"][0]["reason"]
    assert (
        f"unable to assume the role 'arn:aws:iam::{probed.sandbox.account('camden')}:role/{unique}-stranger'"
        in (assumed["trials"][0]["reason"])
    )
    assert assumed["trials"][1]["outcome"] == "allowed", "one role's trouble is not another's"


def test_a_role_that_may_not_be_assumed_fails_its_own_trials_only(
    probed: Estate, playbook: Playbook, unique: str
) -> None:
    probed.role(unique, {"Service": "lambda.amazonaws.com"})
    made = playbook.access(
        {"role": unique, "trials": [probed.trial("list", "open")]}, {"trials": [probed.trial("list", "open")]}
    )
    assert [trial["outcome"] for trial in made["trials"]] == ["failed", "allowed"]
    assert f"Cannot assume the role {unique} in account" in made["trials"][0]["reason"]
    assert "the role has to trust it" in made["trials"][0]["reason"]
    assert made["trials"][0]["caller"] is None


def test_trials_that_do_not_fit_into_one_task_are_made_in_several(probed: Estate, playbook: Playbook) -> None:
    trials = [
        probed.trial("list", "open" if number % 2 else "closed", prefix=secrets.token_hex(30), number=number)
        for number in range(140)
    ]
    made = playbook.access({"role": probed.friends["task"], "trials": trials}, task=probed.task)
    assert [trial["number"] for trial in made["trials"]] == list(range(140))
    assert [trial["outcome"] for trial in made["trials"]] == 70 * ["refused", "allowed"]
    assert len({trial["caller"] for trial in made["trials"]}) > 1


def test_a_task_that_does_not_end_in_time_is_stopped(probed: Estate, playbook: Playbook, unique: str) -> None:
    known = probed.client("ecs").describe_task_definition(taskDefinition=probed.unique)["taskDefinition"]
    endless = probed.definition(
        unique,
        known["executionRoleArn"],
        image=known["containerDefinitions"][0]["image"],
        entryPoint=["python", "-c", "import time; time.sleep(600)"],
    )
    principal = {"role": probed.friends["task"], "trials": [probed.trial("list", "open")]}
    made = playbook.access(principal, task=endless, timeout=2)
    assert made["trials"][0]["outcome"] == "failed"
    assert made["trials"][0]["reason"].startswith("Not done in time: ")
    ecs = probed.client("ecs")

    def ended() -> bool:
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in ecs.list_tasks(cluster=probed.unique, desiredStatus=status)["taskArns"]
        ]
        found = ecs.describe_tasks(cluster=probed.unique, tasks=arns, include=["TAGS"])["tasks"]
        assert {"key": "purpose", "value": "access-probe"} in found[0]["tags"]
        return {task["lastStatus"] for task in found} == {"STOPPED"}

    eventually(ended, "the end of all tasks")


def test_what_the_operator_may_not_do_is_said_with_what_it_takes(
    probed: Estate, playbook: Playbook, unique: str
) -> None:
    principals = [{"role": probed.friends["task"], "trials": [probed.trial("list", "open")]}]
    iam = probed.client("iam")
    deny = '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "ecs:RunTask", "Resource": "*"}]}'
    iam.put_role_policy(RoleName="localgov-deploy", PolicyName=unique, PolicyDocument=deny)
    try:
        refused, unknown = playbook.run(
            {INFO: {"principals": principals, "task": probed.task}, "fails": True},
            {INFO: {"principals": principals, "task": {**probed.task, "task_definition": "none"}}, "fails": True},
        )
    finally:
        iam.delete_role_policy(RoleName="localgov-deploy", PolicyName=unique)
    assert f"Cannot run a task as arn:aws:iam::{probed.sandbox.account('camden')}:role/" in refused["msg"]
    assert "AccessDenied" in refused["msg"]
    assert "This task's identity needs ecs:RunTask on arn:aws:ecs:" in refused["msg"]
    assert "Cannot find the task definition none in account" in unknown["msg"]
