# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS may answer to whoever makes an account. On a sandbox: tests/integration/inventory."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry, RetryingBotoClientWrapper
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.modules import organization_account as module
from botocore.stub import Stubber

ID, OTHER = "111122223333", "444455556666"
GIVEN: dict[str, Any] = {
    "name": "barnet",
    "email": "aws+barnet@example.gov.uk",
    "organizational_unit": None,
    "access_role": "OrganizationAccountAccessRole",
    "tags": {},
    "wait_timeout": 3,
}


def entry(name: str = "barnet", identifier: str = ID, **more: str) -> dict[str, str]:
    return {"Id": identifier, "Name": name, "Email": f"{name}@example.gov.uk", "Status": "ACTIVE", **more}


class Aws:
    """Organizations, which answers what it was told to, in that order."""

    def __init__(self, *accounts: dict[str, str]) -> None:
        client = botocore.session.get_session().create_client(
            "organizations", region_name="us-east-1", aws_access_key_id="made-up-id", aws_secret_access_key="made-up"
        )
        self.stub = Stubber(client)
        self.lists(*accounts)
        self.stub.activate()
        self.client = RetryingBotoClientWrapper(client, AWSRetry.jittered_backoff(retries=1))

    def is_under_way(self, *names: str) -> Aws:
        found = [{"Id": f"car-{name}", "AccountName": name, "State": "IN_PROGRESS"} for name in names]
        self.stub.add_response(
            "list_create_account_status", {"CreateAccountStatuses": found}, {"States": ["IN_PROGRESS"]}
        )
        return self

    def begins(self) -> Aws:
        asked: dict[str, Any] = {
            "AccountName": "barnet",
            "Email": GIVEN["email"],
            "RoleName": GIVEN["access_role"],
            "Tags": [],
        }
        self.stub.add_response(
            "create_account", {"CreateAccountStatus": {"Id": "car-barnet", "State": "IN_PROGRESS"}}, asked
        )
        return self

    def says(self, **status: str) -> Aws:
        self.stub.add_response(
            "describe_create_account_status",
            {"CreateAccountStatus": {"Id": "car-barnet", **status}},
            {"CreateAccountRequestId": "car-barnet"},
        )
        return self

    def lists(self, *accounts: dict[str, str]) -> Aws:
        self.stub.add_response("list_accounts", {"Accounts": list(accounts)}, {})
        return self

    def keep(self, **given: Any) -> dict[str, Any]:  # noqa: ANN401  options of the module
        found = module.keep(self.client, {**GIVEN, **given}, check=False)
        self.stub.assert_no_pending_responses()
        return found


def test_an_account_of_that_name_is_left_as_it_is() -> None:
    kept = Aws(entry(), entry("camden", OTHER)).keep(email=None)
    assert (kept["changed"], kept["made"], kept["account"]["id"]) == (False, False, ID)


def test_a_new_one_is_waited_for() -> None:
    aws = Aws(entry("camden", OTHER)).is_under_way().begins().says(State="SUCCEEDED", AccountId=ID)
    kept = aws.keep()
    assert (kept["changed"], kept["made"], kept["account"]["id"]) == (True, True, ID)


def test_what_an_interrupted_run_began_is_not_begun_again() -> None:
    aws = Aws().is_under_way("croydon", "barnet").says(State="SUCCEEDED", AccountId=ID)
    assert aws.keep()["account"]["id"] == ID


def test_one_whose_first_answer_was_lost_is_found_by_its_name() -> None:
    refused = {"State": "FAILED", "FailureReason": "EMAIL_ALREADY_EXISTS"}
    made = Aws().is_under_way().begins().says(**refused).is_under_way().lists(entry(Email=str(GIVEN["email"]).upper()))
    assert made.keep()["account"]["id"] == ID
    goes_on = Aws().is_under_way().begins().says(**refused).is_under_way("barnet").says(State="SUCCEEDED", AccountId=ID)
    assert goes_on.keep()["account"]["id"] == ID


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"State": "FAILED", "FailureReason": "EMAIL_ALREADY_EXISTS"}, "Another account at AWS has this address"),
        ({"State": "FAILED", "FailureReason": "ACCOUNT_LIMIT_EXCEEDED"}, "Ask AWS for a higher quota"),
        ({"State": "FAILED", "FailureReason": "FAILED_BUSINESS_VALIDATION"}, "FAILED_BUSINESS_VALIDATION"),
        ({"State": "IN_PROGRESS"}, "still making the account barnet after 3 seconds. Run this again"),
    ],
)
def test_why_none_was_made_is_said_with_what_to_do(status: dict[str, str], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        aws = Aws().is_under_way().begins().says(**status)
        if status.get("FailureReason") == "EMAIL_ALREADY_EXISTS":
            aws.is_under_way().lists(entry("camden"))
        aws.keep()


@pytest.mark.parametrize(
    ("accounts", "given", "reason"),
    [
        ([entry(), entry(identifier=OTHER)], {}, f"several accounts named barnet: {ID}, {OTHER}"),
        ([entry(State="SUSPENDED")], {}, rf"barnet \({ID}\) is SUSPENDED, not ACTIVE"),
        ([entry("camden")], {"email": None}, "no account named barnet. Give its e-mail address to make it[.]"),
        ([entry("barnett")], {"email": None}, "or correct the name: there is barnett[.]"),
        ([entry("camden")], {"email": "barnet"}, "'barnet' is no e-mail address"),
        ([entry("camden")], {"email": "Camden@example.gov.uk"}, rf"is the address of the account camden \({ID}\)"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    accounts: list[dict[str, str]], given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        Aws(*accounts).keep(**given)


def test_an_account_is_moved_into_its_unit_unless_it_is_there() -> None:
    unit, root = "ou-ab12-11111111", "r-ab12"
    for parent, moved in ((root, True), (unit, False)):
        aws = Aws(entry())
        kind = "ROOT" if parent == root else "ORGANIZATIONAL_UNIT"
        aws.stub.add_response("list_parents", {"Parents": [{"Id": parent, "Type": kind}]}, {"ChildId": ID})
        if moved:
            asked = {"AccountId": ID, "SourceParentId": root, "DestinationParentId": unit}
            aws.stub.add_response("move_account", {}, asked)
        assert aws.keep(organizational_unit=unit)["changed"] is moved


def test_an_account_that_somebody_has_put_elsewhere_is_left_there() -> None:
    aws = Aws(entry())
    parent = {"Id": "ou-ab12-22222222", "Type": "ORGANIZATIONAL_UNIT"}
    aws.stub.add_response("list_parents", {"Parents": [parent]}, {"ChildId": ID})
    with pytest.raises(
        RefusedError, match=f"The account {ID} is in the unit ou-ab12-22222222, not in ou-ab12-11111111"
    ):
        aws.keep(organizational_unit="ou-ab12-11111111")
