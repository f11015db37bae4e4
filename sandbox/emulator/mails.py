# SPDX-License-Identifier: GPL-3.0-or-later
"""The mails that would have been sent, for demonstrations and tests of what somebody does who gets one."""

from __future__ import annotations

from sandbox.emulator.internals import find

_SENT = "ministack.services.ses._sent_emails"

NEEDS = (_SENT,)


def sent_to(address: str) -> list[str]:
    """The texts of the mails to an address, in the order in which they were sent."""
    kept = find(_SENT).to_dict()
    mails = [mail for (*_, key), entries in kept.items() if key == "entries" for mail in entries]
    return [str(mail["BodyText"]) for mail in mails if address in mail["To"]]
