# SPDX-License-Identifier: GPL-3.0-or-later
"""A service uses every right that its role has, and has no other.

After the tests of files before, which have one accepted, one withdrawn, one sent in parts, one given up, a run killed.
"""

from __future__ import annotations

import pytest

from sandbox.journey.organisation import Organisation
from sandbox.journey.person import upload, wait_for_result
from sandbox.settings import Settings
from tests.e2e.conftest import sample
from tests.e2e.workings import Workings

# In which account the tests before have asked most of the service.
SERVICES = {"frontend": "sutton", "code-server": "camden", "daemon": "camden", "run": "camden"}
# Rights that nothing of the above uses, and what they are for.
RESERVED = {
    ("code-server", "sqs:GetQueueAttributes"): "how many messages wait, for whoever hosts what wants to know",
    ("daemon", "ecs:StopTask"): "a run that lasts longer than max_runtime_seconds",
}


@pytest.mark.parametrize(("service", "account"), SERVICES.items(), ids=SERVICES)
def test_a_service_has_used_every_right_that_its_role_has_and_no_other(
    settings: Settings, organisation: Organisation, service: str, account: str
) -> None:
    workings = Workings(settings, account)
    if service == "run":
        refused = upload(organisation.frontend(account), sample("header_ragged.csv"))
        assert wait_for_result(refused) == "rejected"
    reserved = {action for name, action in RESERVED if name == service}
    assert workings.used(service) | reserved == workings.allowed(service)
    assert not workings.used(service) & reserved, "used, and so not in reserve"
