# SPDX-License-Identifier: GPL-3.0-or-later
"""Who of the organisation read which file when: recorded, kept from everybody's hands, and told."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from files.frontend.tests.chromium import chromium_browser
from sandbox.settings import ROOT
from tests.integration.audit.conftest import EVERYTHING, READER, TRAIL, Authority, Deployed

pytestmark = pytest.mark.usefixtures("deployed")
HOSTILE = "=HYPERLINK(\"http://x\")<script>document.title='taken'</script>\x1b[2J.csv"


def code(call: Callable[..., Any], **arguments: Any) -> str:  # noqa: ANN401
    try:
        call(**arguments)
    except ClientError as refusal:
        return str(refusal.response["Error"]["Code"])
    return "OK"


@pytest.fixture(scope="module")
def log_file(authority: Authority, deployed: Deployed) -> dict[str, Any]:
    """Key and version of one that CloudTrail has written."""
    authority.read("ssda903/2026/header/first.csv")
    authority.wait_for("ssda903/2026/header/first.csv")
    (version, *_) = authority.s3.list_object_versions(Bucket=authority.logs)["Versions"]
    return {"Key": version["Key"], "VersionId": version["VersionId"]}


# --- The role ---


def test_a_rehearsal_on_an_empty_account_foresees_bucket_and_stack_and_a_second_run_changes_nothing(
    deployed: Deployed,
) -> None:
    assert "changed=2 " in deployed.rehearsed
    assert re.search(r"changed=[1-9]", deployed.done)
    assert "changed=0 " in deployed.repeated


def test_log_files_are_locked_for_400_days_from_the_first(authority: Authority, log_file: dict[str, Any]) -> None:
    lock = authority.s3.get_object_retention(Bucket=authority.logs, **log_file)["Retention"]
    written = authority.s3.head_object(Bucket=authority.logs, **log_file)["LastModified"]
    assert lock["Mode"] == "GOVERNANCE"
    assert abs(lock["RetainUntilDate"] - written - datetime.timedelta(days=400)) < datetime.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("who", "permissions"),
    [
        ("deployer", None),
        ("a reader", [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}]),
        ("who may delete", [{"Effect": "Allow", "Action": ["s3:DeleteObject*", "s3:PutObject*"], "Resource": "*"}]),
        ("who may do everything with S3", EVERYTHING),
    ],
)
def test_nobody_of_the_authority_deletes_unlocks_or_forges_a_log_file(
    authority: Authority,
    log_file: dict[str, Any],
    who: str,
    permissions: Any,  # noqa: ANN401
) -> None:
    this = {"Bucket": authority.logs, **log_file}
    where = {"Bucket": authority.logs, "Key": log_file["Key"]}
    s3 = (
        authority.sandbox.client("s3", authority.sandbox.deployer("camden"))
        if permissions is None
        else authority.client("camden", f"localgov-{who.replace(' ', '-')}", permissions)
    )
    soon = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.datetime.now(datetime.UTC)}
    tries = {
        "delete the version": code(s3.delete_object, **this),
        "delete it in spite of the lock": code(s3.delete_object, **this, BypassGovernanceRetention=True),
        "hide it": code(s3.delete_object, **where),
        "shorten the lock": code(s3.put_object_retention, **this, Retention=soon, BypassGovernanceRetention=True),
        "forge one": code(s3.put_object, **where, Body=b""),
    }
    assert set(tries.values()) == {"AccessDenied"}, tries


# --- The module ---


def test_a_read_is_told_with_role_file_time_and_bytes_in_check_mode_too(
    authority: Authority, unique_key: Callable[[str], str]
) -> None:
    key, before = unique_key(".csv"), datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    authority.read(key, b"0123456789")
    said = authority.wait_for(key)
    hub = authority.sandbox.account("hub")
    (record,) = [record for record in said["records"] if record["key"] == key]
    assert before <= datetime.datetime.fromisoformat(record["time"]) <= datetime.datetime.now(datetime.UTC)
    assert record["principal"] == f"arn:aws:iam::{hub}:role/{READER}"
    assert (record["principal_account"], record["session"], record["bucket"]) == (hub, "test", authority.shared)
    assert (record["action"], record["bytes"], record["outcome"]) == ("GetObject", 10, "allowed")
    assert said["changed"] is False
    assert authority.ask(check=True)["records"][: len(said["records"])] == said["records"]


def test_damaged_and_foreign_files_are_named_and_the_others_are_told(
    authority: Authority, unique_key: Callable[[str], str]
) -> None:
    key = unique_key(".csv")
    authority.read(key)
    authority.wait_for(key)
    (file, *_) = authority.s3.list_objects_v2(Bucket=authority.logs)["Contents"]
    folder, _, name = file["Key"].rpartition("/")
    for foreign in (f"{folder}/{name.replace('.json.gz', 'X.json.gz')}", f"{folder}/notes.txt"):
        authority.s3.put_object(Bucket=authority.logs, Key=foreign, Body=b"no log file")
    said = authority.ask()
    assert any(record["key"] == key for record in said["records"])
    assert {file["key"].rpartition("/")[2]: file["reason"].split(" (")[0] for file in said["unreadable"]} == {
        name.replace(".json.gz", "X.json.gz"): "it is damaged",
        "notes.txt": "its name is not that of a log file",
    }
    assert len(said["warnings"]) == 2
    # Said on the page too: an audit that leaves something out has to say so.
    assert "notes.txt" in authority.report().page.read_text(encoding="utf-8")


def test_the_log_files_and_their_locks_are_still_there_after_a_restart(
    authority: Authority, unique_key: Callable[[str], str]
) -> None:
    key = unique_key(".csv")
    authority.read(key)
    authority.sandbox.run("stop")  # before they would have been delivered
    authority.sandbox.start()
    said = authority.ask()
    assert [record["action"] for record in said["records"] if record["key"] == key] == ["GetObject"]
    newest = max(
        authority.s3.list_object_versions(Bucket=authority.logs)["Versions"], key=lambda one: one["LastModified"]
    )
    this = {"Bucket": authority.logs, "Key": newest["Key"], "VersionId": newest["VersionId"]}
    assert code(authority.s3.delete_object, **this) == "AccessDenied"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"since": "last week"}, "since is 'last week'"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "The period is empty"),
        ({"bucket": "localgov-300000000003-audit", "account": "sutton"}, "account 300000000003 keeps no audit"),
    ],
)
def test_what_cannot_be_told_is_said_in_a_sentence(authority: Authority, options: dict[str, Any], says: str) -> None:
    said = authority.ask(**options)
    assert said["failed"] is True
    assert says in said["msg"]


# --- The report ---


def test_the_report_names_role_file_and_time_as_table_csv_and_page(
    authority: Authority, unique_key: Callable[[str], str]
) -> None:
    key, hostile = unique_key(".csv"), HOSTILE
    authority.read(hostile)
    authority.read(key)
    own = authority.client("camden", "localgov-frontend-task")
    own.get_object(Bucket=authority.shared, Key=key)["Body"].read()
    (newest,) = [
        one
        for one in authority.wait_for(key)["records"]
        if (one["key"], one["session"]) == (key, "test") and one["principal"].endswith(READER)
    ]

    report = authority.report("-e", "since=2026-01-01", "-e", "report_limit=3")
    row, moment = f"hub/{READER}", newest["time"].replace("T", " ").removesuffix("Z")
    assert re.search(rf"{moment} +{row} +read +{key} +8 +allowed", report.terminal), report.terminal
    assert "3 shown here" in report.terminal
    assert "\x1b" not in report.terminal
    (line,) = [line for line in report.rows if line["key"] == key]
    assert (line["who"], line["time"], line["outcome"]) == (row, newest["time"], "allowed")
    assert line["principal"].endswith(f":role/{READER}")
    # The authority's own reads are left out; no cell is a formula.
    assert {line["account"] for line in report.rows} == {authority.sandbox.account("hub")}
    assert [line["key"][0] for line in report.rows if "HYPERLINK" in line["key"]] == ["'"]
    _look_at(report.page, key, row)


# --- Gaps ---


@pytest.fixture
def trails(authority: Authority) -> Any:  # noqa: ANN401
    """CloudTrail, as the deployer, who may change the trail."""
    return authority.sandbox.client("cloudtrail", authority.sandbox.deployer("camden"))


def reasons(said: dict[str, Any]) -> set[str]:
    return {gap["reason"] for gap in said["gaps"]}


def test_a_report_tells_from_when_to_when_recording_was_stopped_and_by_whom(
    authority: Authority,
    trails: Any,  # noqa: ANN401
    unique_key: Callable[[str], str],
) -> None:
    unseen, stopped = unique_key(".csv"), datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    trails.stop_logging(Name=TRAIL)
    try:
        authority.read(unseen)
        assert authority.recording()["recording"] is False
    finally:
        trails.start_logging(Name=TRAIL)
    report = authority.report("-e", f"report_since={stopped.isoformat()}")
    (gap,) = re.findall(r"(\S+Z) +(\S+Z) +recording was stopped", report.terminal)
    begin, end = (datetime.datetime.fromisoformat(moment) for moment in gap)
    assert stopped <= begin < end <= datetime.datetime.now(datetime.UTC)
    assert unseen not in {row["key"] for row in report.rows}
    page = report.page.read_text(encoding="utf-8").replace("<wbr>", "")
    assert "When reads may be missing" in page
    assert re.search(r"role/localgov-deploy</td><td>StopLogging</td>", page)
    assert "What is read now is not recorded" not in report.terminal


def test_a_trail_that_selects_less_or_delivers_elsewhere_is_told_of_and_is_no_record_now(
    authority: Authority,
    trails: Any,  # noqa: ANN401
) -> None:
    before = authority.recording()
    selectors = trails.get_event_selectors(TrailName=TRAIL)["AdvancedEventSelectors"]
    others = json.loads(json.dumps(selectors).replace(authority.shared, "another-bucket"))
    trails.put_event_selectors(TrailName=TRAIL, AdvancedEventSelectors=others)
    trails.update_trail(Name=TRAIL, S3BucketName=authority.shared)
    try:
        said = authority.recording()
    finally:
        trails.put_event_selectors(TrailName=TRAIL, AdvancedEventSelectors=selectors)
        trails.update_trail(Name=TRAIL, S3BucketName=authority.logs)
    selected = f"the trail did not select every request that hands out an object of {authority.shared}"
    elsewhere = f"log files were delivered elsewhere than to {authority.logs}"
    assert (before["recording"], said["recording"]) == (True, False)
    assert not {selected, elsewhere} & reasons(before)
    assert {selected, elsewhere} <= reasons(said)
    mended = authority.recording()
    assert mended["recording"] is True
    assert {selected, elsewhere} <= reasons(mended), "what was missed stays missed"


def test_who_may_not_read_the_event_history_is_told_that_nobody_knows(authority: Authority) -> None:
    may = {"Effect": "Allow", "Action": ["cloudtrail:Describe*", "cloudtrail:Get*"], "Resource": "*"}
    said = authority.recording(authority.sandbox.role("camden", "localgov-looker", [may]))
    assert said["recording"] is True
    assert any("That needs cloudtrail:LookupEvents" in reason for reason in reasons(said))
    refused = authority.recording(authority.sandbox.role("camden", "localgov-nobody", EVERYTHING))
    assert refused["failed"] is True
    assert "cloudtrail:DescribeTrails" in refused["msg"]


def _look_at(page: Any, key: str, row: str) -> None:  # noqa: ANN401
    """The page as Chromium shows it."""
    with chromium_browser(ROOT / "build" / "chromium") as browser:
        opened, complaints = browser.new_page(viewport={"width": 390, "height": 800}), []
        opened.on("console", lambda message: complaints.append(message.text))
        opened.goto(page.as_uri())
        assert opened.title() == "Who read what camden shares"
        assert opened.locator("html").get_attribute("lang") == "en-GB"
        assert opened.locator("script").count() == 0
        table = opened.get_by_role("table").last
        assert table.locator("caption").inner_text().strip()
        assert {cell.get_attribute("scope") for cell in table.locator("th").all()} == {"col", "row"}
        shown = table.get_by_role("row").filter(has_text=key)
        assert row in shown.inner_text()
        assert opened.get_by_text("<script>document.title='taken'</script>", exact=False).count() > 0
        assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert complaints == []


def test_a_period_without_reads_says_so(authority: Authority) -> None:
    report = authority.report("-e", "report_since=2020-01-01", "-e", "report_until=2020-01-31", "--check")
    assert report.rows == []
    assert report.csv_file.read_text(encoding="utf-8").startswith("time,who,principal")
    assert "No read is recorded in this period." in report.page.read_text(encoding="utf-8")
    assert "0 from 2020-01-01T00:00:00Z until 2020-02-01T00:00:00Z" in report.terminal
