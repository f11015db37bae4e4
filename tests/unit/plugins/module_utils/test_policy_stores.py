# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""What becomes of AWS's errors, and of its slowness."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils import cloud
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.localgov.platform.plugins.module_utils._policy_documents import statements, with_statements
from ansible_collections.localgov.platform.plugins.module_utils._policy_exchange import Task, carry_out
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import (
    RefusedError,
    Resource,
    resource_of,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_stores import (
    ResourceMissingError,
    encryption_key,
    foreign_subscriptions,
    is_noted,
    keys_with,
    note,
    obstacle_of_secret,
    store_of,
)

from tests.unit.answering_aws import stubbed

ACCOUNT = "012345670123"
REFERENCES = {
    "s3": ("arn:aws:s3:::shared", "get_bucket_policy", "put_bucket_policy"),
    "ecr": (
        f"arn:aws:ecr:eu-west-2:{ACCOUNT}:repository/one",
        "get_repository_policy",
        "set_repository_policy",
    ),
    "kms": (f"arn:aws:kms:eu-west-2:{ACCOUNT}:key/one", "get_key_policy", "put_key_policy"),
    "secretsmanager": (
        f"arn:aws:secretsmanager:eu-west-2:{ACCOUNT}:secret:one",
        "get_resource_policy",
        "put_resource_policy",
    ),
    "sns": (f"arn:aws:sns:eu-west-2:{ACCOUNT}:one", "get_topic_attributes", "set_topic_attributes"),
    "sqs": (f"arn:aws:sqs:eu-west-2:{ACCOUNT}:one", "get_queue_url", "get_queue_url"),
    "iam": (f"arn:aws:iam::{ACCOUNT}:role/one", "get_role", "update_assume_role_policy"),
}
BUCKET = resource_of(REFERENCES["s3"][0], None, ACCOUNT, "eu-west-2", "aws")
WHERE = {"Bucket": "shared", "ExpectedBucketOwner": ACCOUNT}
OURS = {"Sid": "LocalgovList", "Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": "*"}


def resource(service: str) -> Resource:
    return resource_of(REFERENCES[service][0], None, ACCOUNT, "eu-west-2", "aws")


@pytest.mark.parametrize("service", REFERENCES)
@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "AuthorizationError"])
@pytest.mark.parametrize("writing", [False, True])
def test_a_refusal_names_resource_account_and_permission(service: str, code: str, writing: bool) -> None:
    client, stubber = stubbed(service)
    stubber.add_client_error(REFERENCES[service][2 if writing else 1], code, "not authorized")
    store = store_of(client, resource(service))
    with pytest.raises(AnsibleAWSError) as failed:
        store.write('{"Statement": []}') if writing else store.read()
    assert resource(service).label in str(failed.value)
    assert f"needs {service}:" in str(failed.value)
    assert f"on {REFERENCES[service][0]}" in str(failed.value)
    assert "not authorized" in str(failed.value)


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("s3", "NoSuchBucket"),
        ("ecr", "RepositoryNotFoundException"),
        ("kms", "NotFoundException"),
        ("secretsmanager", "ResourceNotFoundException"),
        ("sns", "NotFound"),
        ("sqs", "AWS.SimpleQueueService.NonExistentQueue"),
        ("sqs", "QueueDoesNotExist"),
        ("iam", "NoSuchEntity"),
    ],
)
def test_a_resource_that_is_not_there_is_said_not_to_be(service: str, code: str) -> None:
    client, stubber = stubbed(service)
    stubber.add_client_error(REFERENCES[service][1], code)
    with pytest.raises(ResourceMissingError, match=f"There is no {resource(service).label}"):
        store_of(client, resource(service)).read()


@pytest.mark.parametrize(
    ("service", "code"), [("s3", "NoSuchBucketPolicy"), ("ecr", "RepositoryPolicyNotFoundException")]
)
def test_a_resource_without_a_policy_has_none(service: str, code: str) -> None:
    client, stubber = stubbed(service)
    stubber.add_client_error(REFERENCES[service][1], code)
    assert store_of(client, resource(service)).read() is None


def test_a_policy_that_is_gone_already_need_not_be_removed() -> None:
    client, stubber = stubbed("ecr")
    stubber.add_client_error("delete_repository_policy", "RepositoryPolicyNotFoundException")
    store_of(client, resource("ecr")).write(None)


def test_throttling_is_waited_out() -> None:
    client, stubber = stubbed("s3")
    stubber.add_client_error("get_bucket_policy", "Throttling")
    stubber.add_response("get_bucket_policy", {"Policy": "{}"}, WHERE)
    assert store_of(client, BUCKET).read() == "{}"


def test_another_error_says_what_could_not_be_done() -> None:
    client, stubber = stubbed("kms")
    stubber.add_client_error("put_key_policy", "KMSInvalidStateException", "is pending deletion")
    with pytest.raises(AnsibleAWSError, match=r"Failed to write the policy of the KMS key one .*is pending deletion"):
        store_of(client, resource("kms")).write("{}")


# --- Sequences that the emulator cannot be made to answer ---


@pytest.fixture
def put_in() -> tuple[Callable[..., None], Task]:
    """A bucket's answers, one after the other, and the task that puts OURS into its policy."""
    client, stubber = stubbed("s3")

    def answer(*policies: list[Any] | str) -> None:
        for each in policies:
            if isinstance(each, str):
                stubber.add_client_error("put_bucket_policy", each)
            elif each and each[0] == "written":
                text = json.dumps({"Version": "2012-10-17", "Statement": each[1:]}, separators=(",", ":"))
                stubber.add_response("put_bucket_policy", {}, {**WHERE, "Policy": text})
            elif each:
                text = json.dumps({"Version": "2012-10-17", "Statement": each})
                stubber.add_response("get_bucket_policy", {"Policy": text}, WHERE)
            else:
                stubber.add_client_error("get_bucket_policy", "NoSuchBucketPolicy")

    return answer, Task(
        store_of(client, BUCKET), lambda policy: with_statements(policy, [OURS], "Localgov"), "Localgov"
    )


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of retries, which are not waited for."""
    waited: list[float] = []
    monkeypatch.setattr(cloud.time, "sleep", waited.append)
    return waited


def test_an_answer_that_is_still_the_old_one_is_asked_for_again(put_in: Any, waits: list[float]) -> None:
    answer, task = put_in
    answer([], [], ["written", OURS], [], [], [OURS])
    outcome = carry_out(task, task.plan())
    assert outcome.change.after == {"Version": "2012-10-17", "Statement": [OURS]}
    assert waits == [0.25, 0.5]


def test_an_answer_that_stays_the_old_one_is_reported(put_in: Any, waits: list[float]) -> None:
    answer, task = put_in
    answer([], [], ["written", OURS], *[[]] * 8)
    with pytest.raises(RefusedError, match="still answers with the one before"):
        carry_out(task, task.plan())
    assert 15 < sum(waits) < 60


def test_a_write_that_aws_refuses_for_another_one_is_made_on_what_that_one_wrote(
    put_in: Any, waits: list[float]
) -> None:
    answer, task = put_in
    theirs = {**OURS, "Sid": "Theirs"}
    answer([], [], "OperationAborted", [theirs], ["written", theirs, OURS], [theirs, OURS])
    outcome = carry_out(task, task.plan())
    assert statements(outcome.change.after) == [theirs, OURS]
    assert len(waits) == 1


def test_what_somebody_did_first_is_not_done_again(put_in: Any) -> None:
    answer, task = put_in
    answer([], [OURS])
    outcome = carry_out(task, task.plan())
    assert outcome.change.difference == {"before": [], "after": [OURS]}


# --- The key of a bucket ---


def key_found(algorithm: str | None, name: str | None = None, metadata: dict[str, Any] | None = None) -> Any:
    s3, s3_answers = stubbed("s3")
    kms, kms_answers = stubbed("kms")
    if algorithm is None:
        s3_answers.add_client_error("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
    else:
        default = {"SSEAlgorithm": algorithm} | ({"KMSMasterKeyID": name} if name else {})
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
        s3_answers.add_response("get_bucket_encryption", {"ServerSideEncryptionConfiguration": rules}, WHERE)
    if metadata is not None:
        arn = f"arn:aws:kms:eu-west-2:{ACCOUNT}:key/1234"
        described = {"KeyMetadata": {"KeyId": "1234", "Arn": arn, **metadata}}
        kms_answers.add_response("describe_key", described)
    return encryption_key(s3, lambda key: kms, BUCKET)


@pytest.mark.parametrize("algorithm", [None, "AES256"])
def test_a_bucket_that_s3_encrypts_by_itself_has_no_key(algorithm: str | None) -> None:
    assert key_found(algorithm) is None


@pytest.mark.parametrize("name", ["1234", "alias/own", f"arn:aws:kms:eu-west-2:{ACCOUNT}:alias/own"])
@pytest.mark.parametrize("algorithm", ["aws:kms", "aws:kms:dsse"])
def test_a_key_of_the_bucket_is_known_by_its_arn(algorithm: str, name: str) -> None:
    key = key_found(algorithm, name, {"KeyManager": "CUSTOMER"})
    assert key.resource.arn == f"arn:aws:kms:eu-west-2:{ACCOUNT}:key/1234"
    assert key.obstacle == ""


@pytest.mark.parametrize("name", [None, "alias/aws/s3", f"arn:aws:kms:eu-west-2:{ACCOUNT}:key/1234"])
def test_the_key_that_aws_keeps_lets_nobody_else_in(name: str | None) -> None:
    assert "AWS keeps for this account alone" in key_found("aws:kms", name, {"KeyManager": "AWS"}).obstacle


def test_a_key_of_another_account_is_opened_there() -> None:
    key = key_found("aws:kms", "arn:aws:kms:eu-west-2:999999999999:key/1234")
    assert "another account's to open" in key.obstacle
    assert key.resource.label == "KMS key 1234 of account 999999999999"


# --- Keys that were opened ---


def key_arn(name: str) -> str:
    return f"arn:aws:kms:eu-west-2:{ACCOUNT}:key/{name}"


def test_keys_are_looked_through_page_by_page_and_those_not_to_be_read_are_named() -> None:
    kms, answers = stubbed("kms")
    opened = json.dumps({"Statement": [{**OURS, "Sid": "LocalgovForabcDecrypt"}]})
    closed = json.dumps({"Statement": [{**OURS, "Sid": "LocalgovForabdDecrypt"}]})
    answers.add_response(
        "list_keys",
        {"Keys": [{"KeyId": "a", "KeyArn": key_arn("a")}], "Truncated": True, "NextMarker": "more"},
        {},
    )
    answers.add_response("get_key_policy", {"Policy": opened}, {"KeyId": key_arn("a"), "PolicyName": "default"})
    rest = [{"KeyId": each, "KeyArn": key_arn(each)} for each in "bcd"]
    answers.add_response("list_keys", {"Keys": rest, "Truncated": False}, {"Marker": "more"})
    answers.add_response("get_key_policy", {"Policy": closed}, {"KeyId": key_arn("b"), "PolicyName": "default"})
    answers.add_client_error("get_key_policy", "AccessDeniedException")
    answers.add_client_error("get_key_policy", "NotFoundException")
    found = keys_with(kms, BUCKET, "LocalgovForabc")
    assert [key.arn for key in found.open] == [key_arn("a")]
    assert found.unseen == [key_arn("c")]
    answers.assert_no_pending_responses()


def test_whoever_may_not_list_the_keys_is_told_what_is_needed() -> None:
    kms, answers = stubbed("kms")
    answers.add_client_error("list_keys", "AccessDeniedException", "not authorized")
    with pytest.raises(AnsibleAWSError, match="needs kms:ListKeys"):
        keys_with(kms, BUCKET, "LocalgovForabc")


def test_a_key_is_noted_by_its_tag_on_whichever_page_that_is() -> None:
    kms, answers = stubbed("kms")
    key = resource_of(key_arn("a"), None, ACCOUNT, "eu-west-2", "aws")
    first = {"Tags": [{"TagKey": "LocalgovForabd", "TagValue": "other"}], "Truncated": True, "NextMarker": "more"}
    answers.add_response("list_resource_tags", first, {"KeyId": key.arn})
    last = {"Tags": [{"TagKey": "LocalgovForabc", "TagValue": "shared"}], "Truncated": False}
    answers.add_response("list_resource_tags", last, {"KeyId": key.arn, "Marker": "more"})
    assert is_noted(kms, key, "LocalgovForabc")
    answers.add_response("list_resource_tags", last, {"KeyId": key.arn})
    assert not is_noted(kms, key, "LocalgovForabd")


def test_a_key_that_is_about_to_be_deleted_need_not_be_noted_and_one_that_cannot_be_is_said() -> None:
    kms, answers = stubbed("kms")
    key = resource_of(key_arn("a"), None, ACCOUNT, "eu-west-2", "aws")
    asked = {"KeyId": key.arn, "Tags": [{"TagKey": "LocalgovForabc", "TagValue": "shared"}]}
    answers.add_client_error("tag_resource", "KMSInvalidStateException", expected_params=asked)
    note(kms, key, "LocalgovForabc", BUCKET)
    answers.add_client_error("tag_resource", "AccessDeniedException")
    with pytest.raises(AnsibleAWSError, match="needs kms:TagResource"):
        note(kms, key, "LocalgovForabc", BUCKET)


# --- The key of a secret ---


def obstacle(name: str | None, manager: str | None = None) -> str:
    secrets, secret_answers = stubbed("secretsmanager")
    kms, key_answers = stubbed("kms")
    secret_answers.add_response("describe_secret", {"KmsKeyId": name} if name else {})
    if manager:
        key_answers.add_response("describe_key", {"KeyMetadata": {"KeyId": "1234", "KeyManager": manager}})
    return obstacle_of_secret(secrets, lambda key: kms, resource("secretsmanager"))


@pytest.mark.parametrize(
    ("name", "manager"),
    [
        (None, None),
        ("alias/aws/secretsmanager", None),
        (f"arn:aws:kms:eu-west-2:{ACCOUNT}:alias/aws/secretsmanager", None),
        (key_arn("1234"), "AWS"),
        ("1234", "AWS"),
    ],
)
def test_a_secret_under_the_key_that_aws_keeps_is_read_by_no_other_account(
    name: str | None, manager: str | None
) -> None:
    assert "the key that AWS keeps for this account alone" in obstacle(name, manager)


@pytest.mark.parametrize("name", ["1234", "alias/own", key_arn("1234")])
def test_a_secret_under_a_key_of_its_account_can_be_read(name: str) -> None:
    assert obstacle(name, "CUSTOMER") == ""


def test_a_secret_under_a_key_of_another_account_is_a_matter_of_that_account() -> None:
    assert obstacle("arn:aws:kms:eu-west-2:999999999999:key/1234") == ""


# --- Subscriptions ---


def test_subscriptions_of_other_accounts_are_found_on_all_pages_but_for_deleted_ones() -> None:
    sns, answers = stubbed("sns")

    def subscription(owner: str, arn: str = f"{REFERENCES['sns'][0]}:1") -> dict[str, str]:
        topic = REFERENCES["sns"][0]
        return {
            "SubscriptionArn": arn,
            "Owner": owner,
            "Protocol": "sqs",
            "Endpoint": f"arn:aws:sqs:eu-west-2:{owner}:queue",
            "TopicArn": topic,
        }

    topic = {"TopicArn": REFERENCES["sns"][0]}
    first = {"Subscriptions": [subscription(ACCOUNT)], "NextToken": "more"}
    answers.add_response("list_subscriptions_by_topic", first, topic)
    others = [subscription("999999999999", arn) for arn in ("Deleted", "PendingConfirmation")]
    second = {"Subscriptions": [subscription("999999999999"), *others]}
    answers.add_response("list_subscriptions_by_topic", second, {**topic, "NextToken": "more"})
    found = {
        "subscription_arn": f"{REFERENCES['sns'][0]}:1",
        "owner": "999999999999",
        "protocol": "sqs",
        "endpoint": "arn:aws:sqs:eu-west-2:999999999999:queue",
    }
    assert foreign_subscriptions(sns, resource("sns")) == [found, {**found, "subscription_arn": "PendingConfirmation"}]
