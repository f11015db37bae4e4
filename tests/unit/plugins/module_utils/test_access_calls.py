# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said when AWS refuses a call of the operator, or fails it."""

from __future__ import annotations

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import NotThereError, attempt
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from botocore.exceptions import ClientError


def said(code: str, permission: str = "") -> str:
    with pytest.raises(RefusedError) as refused, attempt("look at the bucket one", "012345670123", permission):
        raise ClientError({"Error": {"Code": code, "Message": "No."}}, "HeadBucket")
    return str(refused.value)


def test_an_error_says_what_could_not_be_done_where_and_what_to_do() -> None:
    text = said("InternalError")
    assert text.startswith("Cannot look at the bucket one in account 012345670123: InternalError: No.")
    assert text.endswith("then run this again.")


@pytest.mark.parametrize(
    ("permission", "needed"), [("s3:ListBucket", "needs s3:ListBucket,"), ("", "needs permission for that call,")]
)
def test_a_refusal_says_what_the_session_needs(permission: str, needed: str) -> None:
    assert needed in said("AccessDeniedException", permission)


def test_what_is_not_there_is_to_be_made() -> None:
    with pytest.raises(NotThereError, match="Make it first"), attempt("look", "012345670123"):
        raise ClientError({"Error": {"Code": "NoSuchBucket", "Message": "No."}}, "HeadBucket")
