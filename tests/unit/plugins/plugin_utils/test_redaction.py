# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.localgov.platform.plugins.plugin_utils._redaction import redacted
from hypothesis import given
from hypothesis import strategies as st

SECRET = "wJalr/XUtn+FEMI=K7MDENG.bPxRfiCYEXAMPLEKEY"


@given(st.text(), st.text())
def test_a_secret_is_masked_wherever_it_stands(before: str, after: str) -> None:
    assert SECRET not in redacted(f"{before}{SECRET}{SECRET}{after}", [SECRET]).replace("X-Amz-Security-Token=", "")


def test_what_is_no_secret_stays() -> None:
    assert redacted("a test of the test", ["test"]) == "a test of the test"


def test_a_presigned_url_stays_whole() -> None:
    url = f"https://bucket/key?X-Amz-Security-Token={SECRET}&X-Amz-Expires=60"
    assert redacted(f"{url} {SECRET}", [SECRET]) == f"{url} ********"
