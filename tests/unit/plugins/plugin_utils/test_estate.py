# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: S314  what is parsed was drawn here
"""Where an account is not as it is declared, and what is told of an estate."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _connection_matrix, _estate, _estate_drawing

from tests.unit.playbooks import estates


def told(*accounts: _estate.Account) -> dict[str, Any]:
    return _estate.estate(accounts, "localgov", estates.NOW)


def camden(**declared: Any) -> _estate.Account:  # noqa: ANN401
    return estates.account("camden", 1, **declared)


def service(account: _estate.Account, name: str) -> dict[str, Any]:
    return next(one for one in account["state"]["services"] if one["name"] == name)


def differences(account: _estate.Account) -> list[tuple[str, str, str]]:
    (one,) = told(account)["accounts"]
    return [(each["what"], each["declared"], each["deployed"]) for each in one["differences"]]


# --- Where the two differ ---


def test_an_account_that_is_as_declared_has_no_difference() -> None:
    (one,) = told(camden())["accounts"]
    assert (one["status"], one["differences"]) == ("as declared", [])


def test_a_service_below_its_count_or_with_another_count_differs() -> None:
    account = camden()
    service(account, "daemon").update(running=0)
    service(account, "code-server").update(desired=2, running=2)
    assert differences(account) == [
        ("service daemon: tasks", "1", "0 run"),
        ("service code-server: count", "1", "2"),
    ]


def test_a_service_that_is_switched_may_have_another_count_but_not_fewer_tasks_than_that() -> None:
    account = camden(hours=estates.OFFICE)
    service(account, "frontend").update(desired=0, running=0)
    service(account, "dagit").update(desired=1, running=1)
    assert differences(account) == []
    service(account, "dagit").update(running=0)
    assert differences(account) == [("service dagit: tasks", "1", "0 run")]


def test_a_service_that_is_missing_and_one_that_nobody_declares_differ() -> None:
    account = camden()
    account["state"]["services"] = [one for one in account["state"]["services"] if one["name"] != "daemon"]
    account["state"]["services"].append({**service(account, "frontend"), "name": "spare"})
    assert differences(account) == [
        ("service daemon", "declared", "missing"),
        ("service spare", "not declared", "runs"),
    ]


def test_another_image_differs_also_of_what_is_no_service() -> None:
    account = camden()
    account["state"]["tasks"][0]["images"]["run"] = f"sha256:{'9' * 64}"
    assert differences(account) == [("task run: image", estates.DIGESTS["code-server"][7:19], "9" * 12)]


def test_where_nobody_says_which_image_is_wanted_it_is_what_most_accounts_run() -> None:
    accounts = [estates.account(name, number, digests={}) for number, name in enumerate(("hub", "camden", "sutton"))]
    service(accounts[2], "frontend")["images"]["frontend"] = f"sha256:{'9' * 64}"
    found = {one["name"]: [each["what"] for each in one["differences"]] for one in told(*accounts)["accounts"]}
    assert found == {"hub": [], "camden": [], "sutton": ["service frontend: image"]}


@pytest.mark.parametrize(
    ("changes", "deployed"),
    [
        ({"status": "UPDATE_ROLLBACK_FAILED"}, "failed: UPDATE_ROLLBACK_FAILED"),
        ({"status": "UPDATE_IN_PROGRESS"}, "being worked on: UPDATE_IN_PROGRESS"),
        ({"drift": "DRIFTED"}, "changed by other means"),
    ],
)
def test_a_stack_that_failed_is_under_way_or_was_changed_by_hand_differs(
    changes: dict[str, str], deployed: str
) -> None:
    account = camden()
    account["state"]["stacks"][0].update(changes)
    assert [(what, now) for what, _, now in differences(account)] == [("stack localgov-database", deployed)]


def test_an_account_without_stacks_has_one_difference() -> None:
    account = camden()
    account["state"].update(stacks=[], services=[], tasks=[])
    assert differences(account) == [("the account", "set up", "nothing is deployed")]


@pytest.mark.parametrize(
    ("declared", "decided", "is_open", "difference"),
    [
        ("granted", "", True, None),
        ("granted", "", False, ("granted", "the bucket is closed")),
        ("granted", "revoked", False, None),
        ("granted", "revoked", True, ("revoked", "the bucket is open")),
        ("revoked", "", True, ("revoked", "the bucket is open")),
        ("revoked", "granted", False, None),
    ],
)
def test_a_share_is_as_the_inventory_says_unless_the_authority_has_revoked(
    declared: str, decided: str, is_open: bool, difference: tuple[str, str] | None
) -> None:
    account = camden(share=declared)
    account["state"]["share"] = {"open": is_open, "decided": decided, "since": "2026-11-26T16:40:00Z"}
    assert [(want, now) for _, want, now in differences(account)] == ([difference] if difference else [])


@pytest.mark.parametrize(
    ("since", "words"),
    [
        ("2026-10-02T09:00:00Z", "revoked by the authority since 2026-10-02"),
        ("before this was noted", "revoked by the authority"),
    ],
)
def test_a_revocation_is_told_with_its_day_where_that_was_noted(since: str, words: str) -> None:
    account = camden()
    account["state"]["share"] = {"open": False, "decided": "revoked", "since": since}
    (one,) = told(account)["accounts"]
    assert one["share"]["words"] == words


def test_what_could_not_be_read_is_said_and_taken_for_nothing_else() -> None:
    account = camden()
    account["state"].update(services=[], tasks=[], unread=[{"part": "services", "reason": "AccessDenied"}])
    (one,) = told(account)["accounts"]
    assert (one["status"], one["differences"]) == ("differs", [])
    assert told(account)["wrong"] == [
        {"what": "services", "declared": "readable", "deployed": "AccessDenied", "accounts": ["camden"]}
    ]


# --- What is told ---


def test_the_sentence_counts_accounts_those_that_differ_and_those_out_of_reach() -> None:
    assert told(*estates.small())["sentence"] == "6 accounts, 2 differ, 1 unreachable, 1 with alarms"
    assert told(camden())["sentence"] == "1 account, 0 differ, 0 unreachable"


def test_what_is_alike_in_several_accounts_is_one_entry_of_what_is_wrong() -> None:
    accounts = [estates.account(name, number) for number, name in enumerate(("hub", "camden", "sutton"))]
    for account in accounts[1:]:
        service(account, "daemon")["running"] = 0
    (entry,) = told(*accounts)["wrong"]
    assert entry["accounts"] == ["camden", "sutton"]


def test_no_user_and_no_session_of_an_error_is_told() -> None:
    account = camden()
    account["state"]["unread"] = [
        {"part": "alarms", "reason": "User: arn:aws:iam::444444444444:user/team/jo is not authorized"}
    ]
    text = str(told(account, *estates.small()))
    assert "somebody@example.gov.uk" not in text
    assert "assumed-role/operators/..." in text
    assert "team/jo" not in text


def test_an_account_without_prices_is_told_why_it_has_no_costs_and_counts_in_no_total() -> None:
    priceless = {**camden(), "prices": {}}
    unknown = camden(database={"kind": "instance", "instance_class": "db.x", "storage_gib": 1, "multi_az": False})
    first, second = told(priceless, unknown)["accounts"]  # type: ignore[arg-type]
    assert first["costs"] == {"unknown": "There are no prices of this region."}
    assert "no database_hour: db.x" in second["costs"]["unknown"]
    assert told(priceless, unknown)["monthly"] == {}  # type: ignore[arg-type]


# --- Drawn ---


def test_accounts_with_the_same_network_have_one_drawing() -> None:
    networks = told(*estates.small())["networks"]
    assert [one["accounts"] for one in networks] == [
        ["hub"],
        ["camden", "croydon", "sutton", "barnet"],
        ["merton"],
    ]


def test_each_declared_arrow_is_drawn_from_who_connects_to_who_is_connected_to() -> None:
    services = {
        "daemon": {"tier": "private", "desired_count": 1, "connects_to": ["code_server"]},
        "code_server": {"tier": "private", "port": 4000, "desired_count": 1},
    }
    matrix = _connection_matrix.connection_matrix(services, "none")
    drawing = ElementTree.fromstring(_estate_drawing.network("one", matrix, services))
    boxes = {box.get("y"): box for box in drawing.findall("rect") if box.get("class") == "node"}
    (arrow,) = [path for path in drawing.findall("path") if "edge" in str(path.get("class"))]
    numbers = [float(number) for number in re.findall(r"[\d.]+", str(arrow.get("d")))]
    daemon, code_server = sorted(float(str(box.get("x"))) for box in drawing.findall("rect")[1:])
    width = float(str(next(iter(boxes.values())).get("width")))
    assert (numbers[0], numbers[-2]) == (daemon + width, code_server)
    assert "daemon to code server on 4000" in "".join(drawing.itertext())
    assert ":4000" in "".join(drawing.itertext())


def test_a_circle_of_connections_is_drawn_too() -> None:
    services = {
        "left": {"tier": "private", "port": 1, "connects_to": ["right"]},
        "right": {"tier": "private", "port": 2, "connects_to": ["left"]},
    }
    matrix = _connection_matrix.connection_matrix(services, "none")
    drawing = ElementTree.fromstring(_estate_drawing.network("one", matrix, services))
    assert len([path for path in drawing.findall("path") if "edge" in str(path.get("class"))]) == 2


def test_a_share_that_is_closed_is_drawn_so_and_many_authorities_are_counted() -> None:
    few = _estate_drawing.trust("trust", "hub", {"camden": "open", "sutton": "closed", "barnet": "unknown"})
    assert (few.count('class="closed closed"'), few.count('class="edge dotted"')) == (1, 1)
    many = _estate_drawing.trust("trust", "hub", {f"la{number}": "open" for number in range(149)} | {"x": "closed"})
    texts = [text.text for text in ElementTree.fromstring(many).iter("text")]
    assert {"149 authorities", "1 authority", "share", "does not share"} <= set(texts)


def test_a_name_cannot_break_out_of_a_drawing() -> None:
    drawing = _estate_drawing.trust("trust", "<script>", {'"><script>': "open"})
    assert "<script" not in drawing
    ElementTree.fromstring(drawing)
