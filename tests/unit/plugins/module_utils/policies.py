# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies, as people and tools write them: generated, for tests that hold for any policy."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

ACTIONS = ("s3:GetObject", "s3:ListBucket", "s3:*", "S3:getobject", "s3:Put*", "*")
RESOURCES = ("arn:aws:s3:::shared", "arn:aws:s3:::shared/*", "arn:aws:s3:::shared/a/*", "*")
PRINCIPALS = ("*", "111122223333", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:role/localgov-run")
# Close to the Sids of our own statements, and none of them.
SIDS_OF_OTHERS = ("Others", "Localgov", "LocalgovReading", "localgovread", "LocalgovRead2", "SomebodyRead", "")
CONDITION_KEYS = ("aws:PrincipalOrgID", "aws:SecureTransport", "aws:PrincipalArn", "s3:prefix", "aws:SourceIp")
OPERATORS = ("StringEquals", "StringLike", "ArnLike", "Bool", "ForAnyValue:StringLike", "StringNotEquals")


def one_or_many(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=3)


conditions = st.dictionaries(
    st.sampled_from(OPERATORS),
    st.dictionaries(
        st.sampled_from(CONDITION_KEYS),
        one_or_many(st.sampled_from(["true", "o-a1b2c3d4e5", "a/*", "*"])) | st.booleans() | st.integers(),
        max_size=2,
    ),
    max_size=2,
)
principals = st.just("*") | st.fixed_dictionaries(
    {}, optional={"AWS": one_or_many(st.sampled_from(PRINCIPALS)), "Service": st.just("ecs-tasks.amazonaws.com")}
)
statements_of_others = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"])},
    optional={
        "Sid": st.sampled_from(SIDS_OF_OTHERS),
        "Principal": principals,
        "NotPrincipal": principals,
        "Action": one_or_many(st.sampled_from(ACTIONS)),
        "NotAction": one_or_many(st.sampled_from(ACTIONS)),
        "Resource": one_or_many(st.sampled_from(RESOURCES)),
        "Condition": conditions,
    },
)
policies_of_others = st.none() | st.fixed_dictionaries(
    {"Statement": statements_of_others | st.lists(statements_of_others, min_size=1, max_size=4)},
    optional={"Version": st.sampled_from(["2008-10-17", "2012-10-17"]), "Id": st.text(max_size=5)},
)
