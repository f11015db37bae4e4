# SPDX-License-Identifier: GPL-3.0-or-later
"""A release goes from account to account, comes back where it fails, and goes on where it stopped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from sandbox.journey.organisation import PREFIX
from sandbox.runtime.layouts import Source, make, write
from sandbox.sessions import client_of_root
from sandbox.settings import ROOT, Settings, load
from tests.e2e.conftest import Playbook, failures
from tests.e2e.layouts import LAYOUTS, digest, with_another_file, with_changed_command, with_image
from tests.e2e.workings import Workings, images

# It says what is wrong, a secret included that must not be shown, and ends.
ENDS = "print('There is no setting CROSSING. password=hunter22', flush=True); import time; time.sleep(1); exit(3)"
# A code server that is healthy and looks for nothing.
SERVES_NOTHING = ["dagster", "api", "grpc", "--module-name", "nothing", "--host", "0.0.0.0", "--port", "4000"]  # noqa: S104
AUTHORITIES = ("barnet", "brent", "camden", "croydon", "merton", "sutton")
# The revision before Dagster gave its limits of concurrency a column more.
OLDER, COLUMN = "6b7fb194ff9c", "using_default_limit"


# --- What is there ---


def running(settings: Settings, account: str) -> dict[str, Any]:
    """Each service's task definition and the tasks that run: what nothing that leaves it alone changes."""
    ecs = client_of_root(settings, account, "ecs")
    names = [arn.rpartition("/")[2] for arn in ecs.list_services(cluster=PREFIX)["serviceArns"]]
    described = ecs.describe_services(cluster=PREFIX, services=names)["services"]
    return {
        service["serviceName"]: (
            service["taskDefinition"],
            sorted(ecs.list_tasks(cluster=PREFIX, serviceName=service["serviceName"])["taskArns"]),
        )
        for service in described
    }


def recorded(settings: Settings, account: str) -> dict[str, Any] | None:
    """What the account has recorded of its last release."""
    s3, bucket = client_of_root(settings, account, "s3"), f"{PREFIX}-{settings.accounts[account].id}-rollout"
    try:
        body = s3.get_object(Bucket=bucket, Key="release.json")["Body"].read()
    except ClientError:
        return None
    found: dict[str, Any] = json.loads(body)
    return found


def uploads(settings: Settings, account: str) -> list[str]:
    """What of uploads is there, any version of it."""
    s3, bucket = client_of_root(settings, account, "s3"), f"{PREFIX}-{settings.accounts[account].id}-data-store"
    listed = s3.list_object_versions(Bucket=bucket, Prefix="uploads/")
    return [version["Key"] for version in listed.get("Versions", [])]


def outcomes(folder: Path) -> dict[str, str]:
    """What the report says became of each account."""
    report = json.loads((folder / "release.json").read_text())
    return {account["name"]: account["outcome"] for account in report["accounts"]}


def reason(folder: Path, account: str) -> str:
    report = json.loads((folder / "release.json").read_text())
    (found,) = (one["failure"]["reason"] for one in report["accounts"] if one["name"] == account)
    return " ".join(str(found).split())


def versions(playbook: Playbook, folder: Path, *arguments: str) -> dict[str, Any]:
    run = playbook("versions", "-e", f"report_folder={folder}", *arguments)
    assert run.returncode == 0, failures(run)
    found: dict[str, Any] = json.loads((folder / "versions.json").read_text())
    return found


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder into which rollouts report."""
    monkeypatch.setenv("LOCALGOV_ROLLOUT_REPORT_FOLDER", str(tmp_path))
    return tmp_path


# --- In the organisation of all tests: a canary alone ---


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images' layouts, with a code server that ends with an error."""
    folder = tmp_path_factory.mktemp("ending")
    broken = with_changed_command("files/dagster/code_server", json.dumps(["python", "-c", ENDS]), folder)
    with_image("code-server", broken, folder / "layouts")
    return folder / "layouts"


@pytest.mark.usefixtures("deployed")
@pytest.mark.slow
def test_a_canary_whose_code_server_ends_returns_by_itself_and_no_other_account_is_touched(
    settings: Settings, playbook: Playbook, ending: Path, reports: Path
) -> None:
    others = ("camden", "sutton", "hub")
    before, untouched = images(settings, "croydon"), {account: running(settings, account) for account in others}
    released = playbook("release", "-e", f"platform_image_layouts={ending}", "-e", "release_canary=croydon")
    assert released.returncode == 2, failures(released)

    assert images(settings, "croydon") == before
    assert all(tasks for _, tasks in (running(settings, "croydon")[name] for name in ("daemon", "code-server")))
    assert {account: running(settings, account) for account in others} == untouched
    assert outcomes(reports) == {"croydon": "failed", **dict.fromkeys(others, "unfinished")}
    assert "croydon was not released" in reason(reports, "croydon")
    assert "There is no setting CROSSING. password=********" in reason(reports, "croydon")
    assert "ECS Deployment Circuit Breaker was triggered" in reason(reports, "croydon")
    assert "It runs the images that it ran before." in reason(reports, "croydon")
    record = recorded(settings, "croydon")
    assert record is not None
    assert (record["state"], record["digests"]["code-server"]) == ("returned", digest(ending / "code-server"))
    assert {account: recorded(settings, account) for account in others} == dict.fromkeys(others)
    found = versions(playbook, reports)
    assert {one["account"]: one["differs"] for one in found["accounts"]} == {
        account: [] for account in ("camden", "croydon", "sutton", "hub")
    }
    assert found["common"]["schema"] == found["accounts"][0]["schema_expected"]
    assert found["common"]["configuration"]


# --- In six authorities of its own ---


@dataclass(frozen=True)
class Estate:
    settings: Settings
    inventory: Path

    def plays(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        ansible_playbook = str(Path(sys.executable).parent / "ansible-playbook")
        return subprocess.run(
            [ansible_playbook, "-i", str(self.inventory), f"playbooks/{name}.yml", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_NOCOLOR": "1",
                "LOCALGOV_SANDBOX_DIR": str(self.settings.state),
            },
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )


def identifier(number: int) -> str:
    return f"3000000000{number:02}"


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """An organisation of six authorities on a sandbox of its own, deployed."""
    folder = tmp_path_factory.mktemp("estate")
    shutil.copytree(ROOT / "inventories" / "sandbox", folder / "inventories" / "mine")
    # Images are named by their place in a checkout.
    (folder / "build").symlink_to(ROOT / "build")
    organisation = yaml.safe_load((ROOT / "sandbox" / "organisation.yml").read_text())
    unit = organisation["organisational_unit"]
    hosts = {"hub": identifier(0), **{name: identifier(number) for number, name in enumerate(AUTHORITIES, 1)}}
    organisation["accounts"] = [{"name": name, "id": account, "unit": unit} for name, account in hosts.items()]
    (folder / "organisation.yml").write_text(yaml.safe_dump(organisation))
    entries = {
        name: {"ansible_aws_account_id": account, "platform_cidr": f"10.{number}.0.0/20"}
        for number, (name, account) in enumerate(hosts.items())
    }
    groups = {
        "organisation": {"hosts": {"hub": entries.pop("hub")}},
        "local_authorities": {"hosts": entries},
    }
    (folder / "inventories" / "mine" / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCALGOV_SANDBOX_DIR", str(folder / "state"))
        patch.setenv("LOCALGOV_SANDBOX_ORGANISATION", str(folder / "organisation.yml"))
        sandbox("start")
        try:
            started = Estate(load(), folder / "inventories" / "mine")
            deployed = started.plays("site")
            assert deployed.returncode == 0, failures(deployed)
            yield started
        finally:
            sandbox("reset")


def sandbox(verb: str) -> None:
    subprocess.run([sys.executable, "-m", "sandbox", verb], cwd=ROOT, check=True, timeout=300)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images' layouts, with a code server that comes up and takes no notice of uploads."""
    folder = tmp_path_factory.mktemp("silent")
    project = with_changed_command("files/dagster/code_server", json.dumps(SERVES_NOTHING), folder)
    (project / "src" / "nothing.py").write_text("import dagster as dg\n\ndefinitions = dg.Definitions()\n")
    with_image("code-server", project, folder / "layouts")
    return folder / "layouts"


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images' layouts, with another code server that does as the one before."""
    folder = tmp_path_factory.mktemp("mended")
    with_image("code-server", with_another_file("files/dagster/code_server", folder), folder / "layouts")
    return folder / "layouts"


@pytest.fixture(scope="module")
def newer(mended: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mended images' layouts, with another daemon that does as the one before."""
    folder = tmp_path_factory.mktemp("newer")
    shutil.copytree(mended, folder / "layouts")
    write(make(Source(with_another_file("files/dagster/instance", folder))), folder / "layouts" / "daemon")
    return folder / "layouts"


@pytest.mark.slow
def test_a_broken_image_stops_at_the_canary_which_returns_by_itself_and_the_mended_one_goes_to_everybody(
    estate: Estate, silent: Path, mended: Path, reports: Path
) -> None:
    settings, canary = estate.settings, "croydon"
    others = [account for account in (*AUTHORITIES, "hub") if account != canary]
    before, untouched = images(settings, canary), {account: running(settings, account) for account in others}
    given = {"platform_image_layouts": str(silent), "release_canary": canary, "release_sample_seconds": 120}
    released = estate.plays("release", "-e", json.dumps(given))
    assert released.returncode == 2, failures(released)

    assert digest(silent / "code-server") in released.stdout + json.dumps(recorded(settings, canary))
    assert images(settings, canary) == before
    assert {account: running(settings, account) for account in others} == untouched
    assert outcomes(reports) == {canary: "failed", **dict.fromkeys(others, "unfinished")}
    assert "The pipeline has said nothing of s3://" in reason(reports, canary)
    assert "It has returned to its last good images." in reason(reports, canary)
    record = recorded(settings, canary)
    assert record is not None
    assert (record["state"], record["last_good"]["code-server"]) == ("returned", before["code-server"])
    assert uploads(settings, canary) == [], "the sample was taken back"
    assert versions(estate.plays, reports)["coherent"]

    goes_on = estate.plays("release", "-e", json.dumps({**given, "platform_image_layouts": str(mended)}))
    assert goes_on.returncode == 0, failures(goes_on)
    everybody, new = (canary, *others), digest(mended / "code-server")
    assert {account: images(settings, account)["code-server"] for account in everybody} == dict.fromkeys(everybody, new)
    assert outcomes(reports) == dict.fromkeys(everybody, "done")
    assert versions(estate.plays, reports)["coherent"]


@contextmanager
def older_and_locked(workings: Workings) -> Iterator[Callable[[], None]]:
    """The account's database as the Dagster of before left it, with a table that somebody holds until told."""
    with closing(workings.connection()) as session, session, session.cursor() as cursor:
        cursor.execute(f"ALTER TABLE concurrency_limits DROP COLUMN {COLUMN}")
        cursor.execute(f"UPDATE alembic_version SET version_num = '{OLDER}'")  # noqa: S608
    holder = workings.connection()
    try:
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE concurrency_limits IN ACCESS SHARE MODE")
        yield holder.close
    finally:
        holder.close()


def schema(workings: Workings) -> tuple[str, bool]:
    """The revision of the account's database, and whether it has the column of the newer ones."""
    ((revision,),) = workings.query("SELECT version_num FROM alembic_version")
    columns = workings.query("SELECT column_name FROM information_schema.columns WHERE column_name = %s", COLUMN)
    return revision, bool(columns)


@pytest.mark.slow
def test_a_migration_that_fails_stops_the_release_and_it_goes_on_from_there_once_that_is_mended(
    estate: Estate, newer: Path, reports: Path
) -> None:
    settings, blocked = estate.settings, "camden"
    # The order of the inventory, in batches of 1, 1, 1 and 3.
    first, later = ("barnet", "brent"), ("croydon", "merton", "sutton", "hub")
    workings, new = Workings(settings, blocked), digest(newer / "daemon")
    head, _ = schema(Workings(settings, "barnet"))
    before = {account: running(settings, account) for account in (blocked, *later)}
    given = ("-e", json.dumps({"platform_image_layouts": str(newer)}))
    with older_and_locked(workings) as let_go:
        released = estate.plays("release", *given)
        assert released.returncode == 2, failures(released)
        assert {account: images(settings, account)["daemon"] for account in first} == dict.fromkeys(first, new)
        assert {account: running(settings, account) for account in (blocked, *later)} == before
        assert schema(workings) == (OLDER, False)
        assert "could not be brought from the schema 6b7fb194ff9c" in reason(reports, blocked)
        assert "lock timeout" in reason(reports, blocked)
        assert outcomes(reports) == {
            **dict.fromkeys(first, "done"), blocked: "failed", **dict.fromkeys(later, "unfinished")
        }  # fmt: skip
        found = versions(estate.plays, reports)
        assert not found["coherent"]
        assert {one["account"] for one in found["accounts"] if "daemon" in one["differs"]} == set(first)
        let_go()
    kept = {account: running(settings, account) for account in first}

    goes_on = estate.plays("release", *given)
    assert goes_on.returncode == 0, failures(goes_on)
    assert {account: running(settings, account) for account in first} == kept
    everybody = (*AUTHORITIES, "hub")
    assert {account: images(settings, account)["daemon"] for account in everybody} == dict.fromkeys(everybody, new)
    assert schema(workings) == (head, True)
    snapshots = client_of_root(settings, blocked, "rds").describe_db_snapshots(DBInstanceIdentifier=PREFIX)
    assert f"{PREFIX}-before-{head}" in json.dumps(snapshots, default=str)
    assert [uploads(settings, account) for account in AUTHORITIES] == [[]] * len(AUTHORITIES)
    assert versions(estate.plays, reports)["coherent"]
    assert set(outcomes(reports).values()) == {"done"}
    tags = client_of_root(settings, "hub", "ecr").list_tags_for_resource(
        resourceArn=f"arn:aws:ecr:{settings.region}:{settings.accounts['hub'].id}:repository/{PREFIX}/daemon"
    )["tags"]
    assert {"Key": "current-digest", "Value": new} in tags
    assert digest(LAYOUTS / "daemon") != new
