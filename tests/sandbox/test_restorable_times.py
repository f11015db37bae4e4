# SPDX-License-Identifier: GPL-3.0-or-later
"""To which moment RDS says that an instance can be brought back."""

from __future__ import annotations

from tests.sandbox.conftest import Sandbox


def test_an_instance_that_keeps_no_backups_has_no_moment_to_go_back_to(sandbox: Sandbox, unique: str) -> None:
    rds = sandbox.client("rds", sandbox.deployer("sutton"))
    made = rds.create_db_instance(
        DBInstanceIdentifier=unique,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="dagster",
        MasterUserPassword="correct-horse",
        BackupRetentionPeriod=0,
    )["DBInstance"]
    assert "LatestRestorableTime" not in made
    (described,) = rds.describe_db_instances(DBInstanceIdentifier=unique)["DBInstances"]
    assert described["BackupRetentionPeriod"] == 0
    assert "LatestRestorableTime" not in described
    rds.modify_db_instance(DBInstanceIdentifier=unique, BackupRetentionPeriod=7, ApplyImmediately=True)
    (described,) = rds.describe_db_instances(DBInstanceIdentifier=unique)["DBInstances"]
    assert described["LatestRestorableTime"] >= described["InstanceCreateTime"]
