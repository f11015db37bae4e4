# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes on inside a deployed account: processes of its tasks, Dagster's records of runs, versions of objects."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2

from sandbox.emulator import used_permissions
from sandbox.journey.organisation import PREFIX
from sandbox.journey.person import Submission, wait_for
from sandbox.processes import ProcessIdentity, is_alive
from sandbox.sessions import client_of_root
from sandbox.settings import Settings


@dataclass(frozen=True)
class Workings:
    settings: Settings
    account: str

    def processes(self, service: str) -> list[ProcessIdentity]:
        """The living first processes of a service's or a run's containers, as the sandbox recorded them."""
        return self._recorded(f"container {service} of a task {PREFIX}-{service} in account {self._identifier}")

    def database(self) -> list[ProcessIdentity]:
        """The account's PostgreSQL, if it is up."""
        return self._recorded(f"the database {PREFIX} of account {self._identifier}")

    @property
    def _identifier(self) -> str:
        return self.settings.accounts[self.account].id

    def _recorded(self, wanted: str) -> list[ProcessIdentity]:
        found = []
        for path in (self.settings.state / "processes").glob("*.json"):
            try:
                record = json.loads(path.read_text())
            except FileNotFoundError:  # it has just ended
                continue
            identity = ProcessIdentity(**record["identity"])
            if record["what"] == wanted and is_alive(identity):
                found.append(identity)
        return found

    def runs(self, submission: Submission) -> list[str]:
        """The states of the runs that Dagster has recorded of a submission."""
        return [
            state
            for (state,) in self.query(
                "SELECT runs.status FROM runs JOIN run_tags USING (run_id) WHERE key = %s AND value = %s",
                "localgov/submission",
                submission.path,
            )
        ]

    def times(self, submission: Submission) -> tuple[float, float, float]:
        """When the submission's run was asked for, when it started and when it ended, in POSIX time.

        The report comes a moment before the end of its run.
        """

        def moments() -> tuple[float, float, float] | None:
            ((created, started, finished),) = self.query(
                "SELECT extract(epoch FROM runs.create_timestamp)::text, start_time::text, end_time::text "
                "FROM runs JOIN run_tags USING (run_id) WHERE key = %s AND value = %s",
                "localgov/submission",
                submission.path,
            )
            return (float(created), float(started), float(finished)) if finished else None

        return wait_for(moments, f"the end of the run of {submission.path}", 60)

    def query(self, statement: str, *values: str | list[str]) -> list[tuple[str, ...]]:
        """The rows that a statement finds in Dagster's own database."""
        with closing(self.connection()) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def damage(self, statement: str) -> None:
        """Do to Dagster's database what nobody should."""
        with closing(self.connection()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def used(self, service: str) -> set[str]:
        """The actions that the service's own tasks have used, by the sandbox's record."""
        record = json.loads((self.settings.state / used_permissions.FILE).read_text())
        return set(record[self.settings.accounts[self.account].id].get(f"{PREFIX}-{service}-task", []))

    def allowed(self, service: str) -> set[str]:
        """The actions that the deployed role of the service allows."""
        iam = client_of_root(self.settings, self.account, "iam")
        policy = iam.get_role_policy(RoleName=f"{PREFIX}-{service}-task", PolicyName="declared")["PolicyDocument"]
        actions = [statement["Action"] for statement in policy["Statement"]]
        return {action for entry in actions for action in (entry if isinstance(entry, list) else [entry])}

    def versions(self, kind: str, key: str) -> list[str]:
        """The ETags of all versions of an object; `kind` is data-store, workspace or shared."""
        s3 = client_of_root(self.settings, self.account, "s3")
        listed = s3.list_object_versions(Bucket=self._bucket(kind), Prefix=key)
        # What is superseded is no longer shared.
        assert kind == "shared" or not listed.get("DeleteMarkers")
        return [version["ETag"] for version in listed.get("Versions", [])]

    def objects(self, kind: str) -> dict[str, str]:
        """The keys of a bucket with their ETags."""
        s3 = client_of_root(self.settings, self.account, "s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket(kind))
        return {entry["Key"]: entry["ETag"] for page in pages for entry in page.get("Contents", [])}

    def put(self, kind: str, key: str, content: bytes) -> None:
        client_of_root(self.settings, self.account, "s3").put_object(Bucket=self._bucket(kind), Key=key, Body=content)

    def reports(self, submission: Submission) -> list[dict[str, Any]]:
        """All that was ever reported of it, but for the time at which it was."""
        s3, bucket = client_of_root(self.settings, self.account, "s3"), self._bucket("data-store")
        listed = s3.list_object_versions(Bucket=bucket, Prefix=f"{submission.results_prefix}report.json")
        found = []
        for version in listed.get("Versions", []):
            read = s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])["Body"].read()
            found.append({**json.loads(read), "finished_at": None})
        return found

    def ended(self, dataset_year: str) -> int:
        """How many submissions have a report that the manifests follow from."""
        s3, key = client_of_root(self.settings, self.account, "s3"), f"results/{dataset_year}/index.json"
        listed = s3.list_objects_v2(Bucket=self._bucket("data-store"), Prefix=key).get("Contents", [])
        if not listed:
            return 0
        index = json.loads(s3.get_object(Bucket=self._bucket("data-store"), Key=key)["Body"].read())
        return len(index["reports"])

    def _bucket(self, kind: str) -> str:
        return f"{PREFIX}-{self._identifier}-{kind}"

    def connection(self) -> psycopg2.extensions.connection:
        """To Dagster's own database, as Dagster's user."""
        stack = client_of_root(self.settings, self.account, "cloudformation").describe_stacks(
            StackName=f"{PREFIX}-database"
        )["Stacks"][0]
        outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in stack["Outputs"]}
        secrets = client_of_root(self.settings, self.account, "secretsmanager")
        login = json.loads(secrets.get_secret_value(SecretId=outputs["DatabaseSecretArn"])["SecretString"])
        return psycopg2.connect(
            host=outputs["DatabaseHost"],
            port=outputs["DatabasePort"],
            dbname="dagster",
            user=login["username"],
            password=login["password"],
            sslmode="verify-full",
            sslrootcert=str(self.settings.ca_bundle),
            connect_timeout=10,
        )


def images(settings: Settings, account: str) -> dict[str, str]:
    """The digest of each service's image, and of runs'."""
    ecs = client_of_root(settings, account, "ecs")
    families = [f"{PREFIX}-{name}" for name in ("frontend", "dagit", "daemon", "code-server", "run")]
    found = [ecs.describe_task_definition(taskDefinition=family)["taskDefinition"] for family in families]
    return {
        definition["family"].removeprefix(f"{PREFIX}-"): definition["containerDefinitions"][-1]["image"].split("@")[1]
        for definition in found
    }
