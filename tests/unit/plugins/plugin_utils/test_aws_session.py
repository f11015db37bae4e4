# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils._aws_session import AwsSession


def session(duration: int | None) -> AwsSession:
    """A session issued at time 0."""
    return AwsSession(
        account_id="111122223333",
        arn="arn:aws:sts::111122223333:assumed-role/deploy/alice",
        access_key_id="ASIA",
        secret_access_key="the-secret",
        session_token="the-token",
        expires_at=duration,
    )


@pytest.mark.parametrize(
    ("duration", "last_moment"),
    [(3600, 3300), (43200, 42900), (900, 720)],
    ids=["an hour", "twelve hours", "a quarter of an hour"],
)
def test_work_begins_while_five_minutes_or_a_fifth_are_left(duration: int, last_moment: int) -> None:
    assert session(duration).lasts(0, now=last_moment)
    assert not session(duration).lasts(0, now=last_moment + 1)


def test_long_work_begins_with_a_session_that_outlasts_it_with_the_margin() -> None:
    assert session(3600).lasts(1200, now=2100)
    assert not session(3600).lasts(1200, now=2101)


@pytest.mark.parametrize("seconds", [3600, 100_000])
def test_work_longer_than_any_session_is_content_with_a_new_one(seconds: int) -> None:
    assert session(3600).lasts(seconds, now=300)
    assert not session(3600).lasts(seconds, now=301)


def test_what_does_not_end_lasts() -> None:
    assert session(None).lasts(100_000, now=1e12)


def test_secrets_do_not_show() -> None:
    assert "the-secret" not in repr(session(3600))
    assert "the-token" not in repr(session(3600))
