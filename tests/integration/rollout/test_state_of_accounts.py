# SPDX-License-Identifier: GPL-3.0-or-later
"""How accounts are, as playbooks/report.yml finds them. Its page in a browser: tests/unit/playbooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import pytest

from tests.integration.rollout.conftest import DIGESTS, Operator
from tests.sandbox.conftest import CHECKOUT, Sandbox

REPORT = CHECKOUT / "playbooks" / "report.yml"
RAN = {"state": "accepted", "finished_at": "2026-11-26T08:03:00Z", "errors": {"total": 4}}
PERSON = "Alex Doe's children"


@contextmanager
def out_of_reach(sandbox: Sandbox, account: str) -> Iterator[None]:
    """Its deploy role trusts nobody."""
    iam = sandbox.client("iam", sandbox.root(account))
    trust = iam.get_role(RoleName="localgov-deploy")["Role"]["AssumeRolePolicyDocument"]
    nobody = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [nobody]})
    iam.update_assume_role_policy(RoleName="localgov-deploy", PolicyDocument=document)
    try:
        yield
    finally:
        iam.update_assume_role_policy(RoleName="localgov-deploy", PolicyDocument=json.dumps(trust))


@pytest.fixture(scope="module")
def camden(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Deployed, unless another test has done so, with a submission that was worked on."""
    operator = Operator(sandbox, tmp_path_factory.mktemp("operator"))
    if not sandbox.client("ecs", sandbox.root("camden")).list_clusters()["clusterArns"]:
        done = operator.rolls_out("camden")
        assert done.returncode == 0, done.stdout[-4000:]
    s3 = sandbox.client("s3", sandbox.root("camden"))
    store = f"localgov-{sandbox.account('camden')}-data-store"
    s3.put_object(Bucket=store, Key=f"results/ssda903/2026/{PERSON}/report.json", Body=json.dumps(RAN).encode())
    return operator


def reported(operator: Operator, accounts: str, **variables: Any) -> tuple[str, str, list[list[str]]]:  # noqa: ANN401
    """What is said on the terminal, the page, and the rows of what is wrong, each with its cells."""
    given = json.dumps({"report_folder": str(operator.folder), **variables})
    said = operator.runs(REPORT, "--limit", accounts, "-e", given).stdout
    page = (operator.folder / "estate.html").read_text(encoding="utf-8")
    wrong = re.search(r'<caption id="wrong">.*?</table>', page, re.DOTALL)
    rows = re.findall(r"<tr><th.*?</tr>", wrong[0], re.DOTALL)[1:] if wrong else []
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return said, page, [[unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in cells]


def test_an_account_that_was_just_deployed_is_as_declared(camden: Operator) -> None:
    said, page, rows = reported(camden, "camden", platform_image_digests=DIGESTS)
    assert rows == []
    assert f"1 account, 0 differ, 0 unreachable: {camden.folder}/estate.html" in " ".join(said.split())
    assert re.search(r"2026-11-26 08:03</th><td>ssda903</td><td>2026</td><td>accepted</td><td[^>]*>4<", page)
    assert PERSON not in unescape(page)
    assert (camden.folder / "camden-access.html").exists()


def test_every_alarm_of_an_account_tells_its_own_topic_and_the_organisations(
    sandbox: Sandbox, camden: Operator
) -> None:
    assert camden.folder.exists()
    session, own, hub = sandbox.root("camden"), sandbox.account("camden"), sandbox.account("hub")
    topic = f"arn:aws:sns:eu-west-2:{own}:localgov-alarms"
    alarms = sandbox.client("cloudwatch", session).describe_alarms()["MetricAlarms"]
    names = {alarm["AlarmName"] for alarm in alarms}
    assert {"localgov-daemon-below", "localgov-storage", "localgov-run", "localgov-uploads-failed"} <= names
    for alarm in alarms:
        assert alarm["AlarmActions"] == [topic, f"arn:aws:sns:eu-west-2:{hub}:localgov-organisation-alarms"]
    policy = sandbox.client("sns", session).get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    allowed = json.loads(policy)["Statement"][1]
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": own}
    boards = sandbox.client("cloudwatch", session).list_dashboards()["DashboardEntries"]
    assert [board["DashboardName"] for board in boards] == ["localgov"]


def test_what_somebody_changed_and_what_cannot_be_reached_is_told_and_hides_nothing(
    sandbox: Sandbox, camden: Operator
) -> None:
    ecs = sandbox.client("ecs", sandbox.root("camden"))
    s3 = sandbox.client("s3", sandbox.root("camden"))
    shared = f"localgov-{sandbox.account('camden')}-shared"
    cloudwatch = sandbox.client("cloudwatch", sandbox.root("camden"))
    policy = s3.get_bucket_policy(Bucket=shared)["Policy"]
    ecs.update_service(cluster="localgov", service="daemon", desiredCount=3)
    s3.delete_bucket_policy(Bucket=shared)
    cloudwatch.set_alarm_state(AlarmName="localgov-run", StateValue="ALARM", StateReason="tried")
    try:
        with out_of_reach(sandbox, "sutton"):
            said, page, rows = reported(camden, "hub,camden,sutton")
    finally:
        ecs.update_service(cluster="localgov", service="daemon", desiredCount=1)
        s3.put_bucket_policy(Bucket=shared, Policy=policy)
        cloudwatch.set_alarm_state(AlarmName="localgov-run", StateValue="OK", StateReason="tried")
    assert "3 accounts, 2 differ, 1 unreachable, 1 with alarms" in said
    found = {(row[0], row[1]): row[2:] for row in rows}
    assert found["camden", "service daemon: count"] == ["1", "3"]
    assert found["camden", "what it shares"] == ["granted", "the bucket is closed"]
    assert "docs/runbooks.md#service-log" in found["camden", "alarm localgov-run"][1]
    assert found["hub", "the account"] == ["set up", "nothing is deployed"]
    assert found["sutton", "the account"][1].startswith("unreachable: ")
    # Who trusts whom, and the two networks: those of authorities are alike, and drawn once.
    assert page.count("<svg") == 3
