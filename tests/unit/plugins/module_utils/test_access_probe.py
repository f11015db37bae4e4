# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""What AWS's answers mean for a trial, those among them that the sandbox does not give."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from ansible_collections.localgov.platform.plugins.module_utils._access_probe import Prober
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError
from botocore.stub import ANY, Stubber

BUCKET = {"resource": "arn:aws:s3:::shared", "prefix": "ssda903"}
REPOSITORY = {"resource": "arn:aws:ecr:eu-west-1:200000000001:repository/localgov/frontend"}
OK = {"ResponseMetadata": {"HTTPStatusCode": 200}}
SESSION = "User: arn:aws:sts::200000000001:assumed-role/reader/session is not authorized to perform"


@dataclass
class Session:
    """Hands stubbed clients to a prober, and remembers how they were asked for."""

    stubbers: dict[str, Stubber] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    clients: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        connect: Any = boto3.client
        for service in ("s3", "ecr"):
            client = connect(
                service, region_name="eu-west-2", aws_access_key_id="made-up-id", aws_secret_access_key="made-up-secret"
            )
            self.clients[service] = client
            self.stubbers[service] = Stubber(client)
            self.stubbers[service].activate()

    def connect(self, service: str, **more: Any) -> Any:
        self.asked.append((service, {name: value for name, value in more.items() if name != "config"}))
        return self.clients[service]

    def fails(self, operation: str, code: str, message: str = "", service: str = "s3") -> None:
        self.stubbers[service].add_client_error(operation, code, message)

    def answers(self, operation: str, service: str = "s3", **answer: Any) -> None:
        answer["ResponseMetadata"] = {"HTTPStatusCode": 200}
        self.stubbers[service].add_response(operation, answer)

    def made(self, trial: dict[str, Any]) -> tuple[str, str]:
        outcome = Prober(self.connect).made(trial)
        for stubber in self.stubbers.values():
            stubber.assert_no_pending_responses()
        return outcome.outcome, outcome.reason


@pytest.fixture
def session() -> Session:
    return Session()


def test_a_refusal_by_the_key_counts_as_one_with_its_reason(session: Session) -> None:
    session.fails("get_object", "AccessDenied", f"{SESSION}: kms:Decrypt on resource: arn:aws:kms:...")
    outcome, reason = session.made({**BUCKET, "action": "get"})
    assert outcome == "refused"
    assert "kms:Decrypt" in reason


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("NoSuchKey", "The specified key does not exist."),
        ("NoSuchVersion", "The specified version does not exist."),
        ("AccessDenied", f'{SESSION}: s3:ListBucket on resource: "arn:aws:s3:::shared" because no identity-based'),
        ("AccessDenied", f'{SESSION}: s3:ListBucketVersions on resource: "arn:aws:s3:::shared" because no session'),
    ],
)
def test_a_probe_that_is_not_there_teaches_nothing(session: Session, code: str, message: str) -> None:
    session.fails("get_object", code, message)
    outcome, reason = session.made({**BUCKET, "action": "get"})
    assert outcome == "failed"
    assert reason.startswith("There is no probe ssda903/.access-probe/probe to read")


def test_what_is_read_is_closed_and_not_handed_back(session: Session) -> None:
    body = io.BytesIO(b"not for the report")
    session.answers("get_object", Body=body)
    assert session.made({**BUCKET, "action": "get"}) == ("allowed", "GetObject: HTTP status 200")
    assert body.closed


def test_what_is_written_and_deleted_lies_among_the_probes(session: Session) -> None:
    s3 = session.stubbers["s3"]
    folder = "ssda903/.access-probe"
    s3.add_response("put_object", OK, {"Bucket": "shared", "Key": f"{folder}/put", "Body": ANY})
    assert session.made({**BUCKET, "action": "put"}) == ("allowed", "PutObject: HTTP status 200")
    nothing = {"Bucket": "shared", "Key": f"{folder}/none"}
    s3.add_response("delete_object", OK, nothing)
    assert session.made({**BUCKET, "action": "delete"})[0] == "allowed"
    s3.add_response("delete_object", OK, {**nothing, "VersionId": "null"})
    assert session.made({**BUCKET, "action": "delete_version"})[0] == "allowed"


@pytest.mark.parametrize("code", ["BadDigest", "InvalidDigest", "PreconditionFailed", "InvalidRequest"])
def test_a_complaint_about_what_was_sent_does_not_show_that_the_writer_was_let_in(session: Session, code: str) -> None:
    session.fails("put_object", code, "The Content-MD5 you specified did not match what we received.")
    assert session.made({**BUCKET, "action": "put"})[0] == "failed"


@pytest.mark.parametrize(("version", "asked"), [({"version": "one"}, "one"), ({}, "null")])
def test_the_version_that_is_read_is_the_probes_own(session: Session, version: dict[str, str], asked: str) -> None:
    wanted = {"Bucket": "shared", "Key": "ssda903/.access-probe/probe", "VersionId": asked}
    session.stubbers["s3"].add_response("get_object", {**OK, "Body": io.BytesIO(b"")}, wanted)
    assert session.made({**BUCKET, "action": "get_version", **version})[0] == "allowed"


@pytest.mark.parametrize("action", ["list", "list_versions"])
def test_borrowed_rights_are_for_looking_among_the_probes_only(session: Session, action: str) -> None:
    call = {"list": "list_objects_v2", "list_versions": "list_object_versions"}[action]
    for rights, prefix in (("own", "ssda903/"), ("borrowed", "ssda903/.access-probe/")):
        session.stubbers["s3"].add_response(call, OK, {"Bucket": "shared", "Prefix": prefix, "MaxKeys": 1})
        assert session.made({**BUCKET, "action": action, "rights": rights})[0] == "allowed"


@pytest.mark.parametrize("code", ["InvalidParameterException", "UnsupportedImageTypeException"])
def test_a_pusher_whose_manifest_is_none_was_let_in(session: Session, code: str) -> None:
    session.fails("put_image", code, "Invalid JSON syntax", service="ecr")
    assert session.made({**REPOSITORY, "action": "push"})[0] == "allowed"


def test_an_image_that_is_stored_nevertheless_is_removed(session: Session) -> None:
    session.answers("put_image", "ecr", image={"imageId": {"imageDigest": "sha256:one"}})
    session.answers("batch_delete_image", "ecr")
    assert session.made({**REPOSITORY, "action": "push"}) == (
        "allowed",
        "Stored the image access-probe, and removed it again",
    )


def test_a_repository_is_asked_for_in_its_owners_registry_and_region(session: Session) -> None:
    where = {"registryId": "200000000001", "repositoryName": "localgov/frontend"}
    ecr = session.stubbers["ecr"]
    ecr.add_response("batch_get_image", {"images": []}, {**where, "imageIds": ANY})
    ecr.add_client_error("get_download_url_for_layer", "LayersNotFoundException")
    ecr.add_response("batch_check_layer_availability", {"layers": []}, {**where, "layerDigests": ANY})
    outcome, reason = session.made({**REPOSITORY, "action": "pull"})
    assert (outcome, reason) == (
        "allowed",
        "let in by BatchGetImage, GetDownloadUrlForLayer, BatchCheckLayerAvailability",
    )
    assert session.asked == [("ecr", {"region_name": "eu-west-1"})]


@pytest.mark.parametrize("action", ["pull", "push"])
def test_a_repository_that_is_not_there_teaches_nothing(session: Session, action: str) -> None:
    session.fails("batch_get_image" if action == "pull" else "put_image", "RepositoryNotFoundException", "", "ecr")
    assert session.made({**REPOSITORY, "action": action}) == ("failed", "RepositoryNotFoundException")


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId", "SlowDown", "NoSuchBucket"])
def test_an_error_that_is_no_refusal_teaches_nothing(session: Session, code: str) -> None:
    session.fails("list_objects_v2", code, "a reason")
    assert session.made({**BUCKET, "action": "list"}) == ("failed", f"{code}: a reason")


def test_a_long_reason_is_shortened_in_its_middle_to_one_line(session: Session) -> None:
    session.fails("list_objects_v2", "AccessDenied", f"{SESSION}\n  {'long ' * 100} because no x policy allows it")
    _, reason = session.made({**BUCKET, "action": "list"})
    assert 390 < len(reason) <= 400
    assert reason.startswith(f"AccessDenied: {SESSION} long")
    assert reason.endswith("because no x policy allows it")


@pytest.mark.parametrize(
    ("resource", "endpoint"),
    [
        ("arn:aws:s3:::shared", "http://s3.eu-west-2.amazonaws.com"),
        ("arn:aws-cn:s3:::shared", "http://s3.eu-west-2.amazonaws.com.cn"),
    ],
)
def test_without_tls_means_awss_own_endpoint_unless_another_is_given(
    session: Session, resource: str, endpoint: str
) -> None:
    session.fails("list_objects_v2", "AccessDenied")
    assert session.made({"resource": resource, "action": "list_without_tls"})[0] == "refused"
    assert session.asked[-1] == ("s3", {"endpoint_url": endpoint})
    session.fails("list_objects_v2", "AccessDenied")
    prober = Prober(session.connect, "http://127.0.0.1:1")
    assert prober.made({**BUCKET, "action": "list_without_tls"}).outcome == "refused"
    assert session.asked[-1] == ("s3", {"endpoint_url": "http://127.0.0.1:1"})


@pytest.mark.parametrize("error", [ConnectTimeoutError, EndpointConnectionError])
def test_an_endpoint_that_does_not_answer_is_waited_for_once(session: Session, error: Callable[..., Exception]) -> None:
    calls = []

    def silence(**given: Any) -> None:
        calls.append(given)
        raise error(endpoint_url="https://s3.eu-west-2.amazonaws.com/shared")

    session.clients["s3"].meta.events.register("before-call.s3.*", silence)
    session.stubbers["s3"].deactivate()
    session.answers("put_image", "ecr", image={"imageId": {"imageDigest": "sha256:one"}})
    session.answers("batch_delete_image", "ecr")
    trials = [{**BUCKET, "action": "list"}, {**BUCKET, "action": "get"}, {**REPOSITORY, "action": "push"}]
    results = list(Prober(session.connect).results(enumerate(trials)))
    assert [result.outcome for result in results] == ["failed", "failed", "allowed"]
    assert len(calls) == 1
    assert results[0].reason.startswith("https://s3.eu-west-2.amazonaws.com did not answer")
    assert "security group" in results[0].reason


def test_borrowed_rights_come_last_and_are_waited_for(session: Session) -> None:
    session.answers("list_objects_v2")
    session.fails("list_buckets", "AccessDenied", "not yet")
    session.answers("list_buckets")
    session.fails("list_objects_v2", "AccessDenied", "because no resource-based policy allows it")
    trials = [{**BUCKET, "action": "list", "rights": "borrowed"}, {**BUCKET, "action": "list"}]
    results = list(Prober(session.connect).results(enumerate(trials)))
    assert [(result.number, result.outcome) for result in results] == [(1, "allowed"), (0, "refused")]


def test_rights_that_never_come_to_count_teach_nothing(session: Session) -> None:
    for _ in range(2):
        session.fails("list_buckets", "AccessDenied", "never")
    trials = [{**BUCKET, "action": "list", "rights": "borrowed"}, {**BUCKET, "action": "get", "rights": "borrowed"}]
    began = time.monotonic()
    results = list(Prober(session.connect).results(enumerate(trials), known_seconds=0.5))
    assert time.monotonic() - began > 0.5
    reason = "The borrowed policy did not come to count within 0.5 seconds: AccessDenied: never"
    assert [(result.outcome, result.reason) for result in results] == 2 * [("failed", reason)]


GET = f'{SESSION}: s3:GetObject on resource: "arn:aws:s3:::shared/ssda903/.access-probe/probe"'
# AWS's wordings, from its documentation of access denied messages: policy, and whether the resource's own refuses.
WORDINGS = [
    ("Access Denied", "refused"),
    (GET, "refused"),
    (f"{GET} because no resource-based policy allows the s3:GetObject action", "refused"),
    (f"{GET} with an explicit deny in a resource-based policy", "refused"),
    (f"{GET} because no identity-based policy allows the s3:GetObject action", "failed"),
    (f"{GET} with an explicit deny in an identity-based policy", "failed"),
    (f"{GET} because no session policy allows the s3:GetObject action", "failed"),
    (f"{GET} with an explicit deny in a session policy", "failed"),
    (f"{GET} because no permissions boundary allows the s3:GetObject action", "failed"),
    (f"{GET} with an explicit deny in a permissions boundary: arn:aws:iam::200000000001:policy/edge", "failed"),
    (f"{GET} because no service control policy allows the s3:GetObject action", "failed"),
    (f"{GET} with an explicit deny in a service control policy", "failed"),
    (f"{GET} with an explicit deny in a resource control policy", "failed"),
    (f"{GET} because no VPC endpoint policy allows the s3:GetObject action", "failed"),
    (f"{GET} with an explicit deny in a VPC endpoint policy", "failed"),
    (f"{GET} {'x' * 500} with an explicit deny in a VPC endpoint policy: arn:{'x' * 500}", "failed"),
]


@pytest.mark.parametrize(("message", "outcome"), WORDINGS)
def test_with_borrowed_rights_only_the_resources_own_refusal_counts(
    session: Session, message: str, outcome: str
) -> None:
    session.answers("list_buckets")
    session.fails("get_object", "AccessDenied", message)
    (result,) = Prober(session.connect).results([(0, {**BUCKET, "action": "get", "rights": "borrowed"})])
    assert result.outcome == outcome
    assert result.reason.startswith("The borrowed rights do not come that far: AccessDenied") is (outcome == "failed")
    session.fails("get_object", "AccessDenied", message)
    assert session.made({**BUCKET, "action": "get"})[0] == "refused", "with rights of its own, whoever refuses does so"


def test_one_call_of_a_pull_that_is_not_refused_by_the_repository_is_enough_to_learn_nothing(session: Session) -> None:
    by_repository = f"{SESSION}: ecr:x because no resource-based policy allows the ecr:x action"
    session.answers("list_buckets")
    for call, message in (
        ("batch_get_image", by_repository),
        ("get_download_url_for_layer", by_repository.replace("resource-based", "VPC endpoint")),
        ("batch_check_layer_availability", by_repository),
    ):
        session.fails(call, "AccessDeniedException", message, "ecr")
    (result,) = Prober(session.connect).results([(0, {**REPOSITORY, "action": "pull", "rights": "borrowed"})])
    assert result.outcome == "failed"
    assert "VPC endpoint policy" in result.reason
