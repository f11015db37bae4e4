# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions run where, and who differs from most."""

from __future__ import annotations

from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils._version_table import version_table


def account(digest: str = "sha256:1111111111aa", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    daemon = {"image": "daemon", "digest": digest, "tag": digest.removeprefix("sha256:"), "desired": 1, "running": 1}
    run = {"image": "code-server", "digest": "sha256:22", "tag": "22", "desired": None, "running": None}
    return {
        "deployed": True,
        "services": {"daemon": daemon, "run": run},
        "below": [],
        "dagster": "1.13.27",
        "schema": "29b539ebc72a",
        "configuration": "c15159b0f3a2",
        "release": {"state": "good"},
        **more,
    }


def differs(accounts: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    return {row["account"]: row["differs"] for row in version_table(accounts)["accounts"]}


def test_accounts_that_run_the_same_are_coherent() -> None:
    table = version_table({"camden": account(), "croydon": account(release=None)})
    assert table["coherent"]
    assert table["common"]["services"] == {"daemon": "sha256:1111111111aa", "run": "sha256:22"}
    assert table["common"]["schema"] == "29b539ebc72a"
    assert not any("!" in line for line in table["lines"])


def test_who_differs_from_most_is_named_with_what_differs() -> None:
    other = account("sha256:9999999999bb", dagster="1.12.0", schema="6b7fb194ff9c", configuration="c15159b0f3a2-dirty")
    table = version_table({"camden": other, "croydon": account(), "sutton": account()})
    assert not table["coherent"]
    assert differs({"camden": other, "croydon": account(), "sutton": account()}) == {
        "camden": ["daemon", "dagster", "schema", "configuration"],
        "croydon": [],
        "sutton": [],
    }
    assert table["lines"][0].split() == ["Account", "daemon", "run", "Dagster", "Schema", "Configuration", "Release"]
    assert table["lines"][1].split()[:4] == ["camden", "99999999", "!", "22"]


def test_a_service_below_its_count_and_a_release_on_trial_are_marked() -> None:
    down = account(below=["daemon"], release={"state": "trial"})
    down["services"]["daemon"]["running"] = 0
    table = version_table({"camden": down, "croydon": account()})
    assert table["accounts"][0]["differs"] == ["daemon", "release"]
    assert "11111111 0/1 !" in table["lines"][1]
    assert "trial !" in table["lines"][1]


def test_what_nobody_knows_of_an_account_is_shown_as_such_and_is_no_difference() -> None:
    unknown = account(schema=None, dagster=None)
    unknown["services"]["run"] |= {"digest": None, "tag": None}
    table = version_table({"camden": unknown, "croydon": account()})
    assert table["coherent"]
    assert table["lines"][1].split()[2:5] == ["?", "?", "?"]
    assert version_table({"camden": unknown})["coherent"]


def test_a_service_that_most_accounts_have_is_missed_where_it_is_not() -> None:
    lacks = account()
    del lacks["services"]["run"]
    table = version_table({"camden": lacks, "croydon": account(), "sutton": account()})
    assert [row["differs"] for row in table["accounts"]] == [["run"], [], []]
    assert table["lines"][1].split()[2:4] == ["none", "!"]


def test_a_service_that_few_accounts_have_is_missed_nowhere() -> None:
    lacks = account()
    del lacks["services"]["run"]
    table = version_table({"camden": account(), "croydon": lacks, "sutton": lacks})
    assert table["coherent"]
    assert not any("!" in line for line in table["lines"])


def test_a_schema_that_is_older_than_the_image_expects_is_marked_though_all_have_it() -> None:
    behind = account(migrates=True)
    assert differs({"camden": behind, "croydon": behind}) == {"camden": ["schema"], "croydon": ["schema"]}
    assert "29b539ebc72a !" in version_table({"camden": behind})["lines"][1]
    assert differs({"camden": account(migrates=False), "croydon": account(migrates=None)}) == {
        "camden": [],
        "croydon": [],
    }


def test_an_account_without_services_is_told_as_such() -> None:
    nothing = {"deployed": False, "services": {}, "below": [], "release": None}
    table = version_table({"camden": account(), "barnet": nothing})
    assert table["accounts"][1]["differs"] == ["deployed"]
    assert "not deployed !" in table["lines"][2]
