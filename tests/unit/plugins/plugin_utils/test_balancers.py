# SPDX-License-Identifier: GPL-3.0-or-later
"""Load balancers that follow from a declaration: who is behind which, by which rule, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _balancers as balancers
from ansible_collections.localgov.platform.plugins.plugin_utils import _connection_matrix as matrices
from ansible_collections.localgov.platform.plugins.plugin_utils._declaration import DeclarationError

CERTIFICATE = "arn:aws:acm:eu-west-2:012345678901:certificate/11111111-2222-3333-4444-555555555555"
DECLARED: dict[str, Any] = {
    "public": {"scheme": "public", "certificate_arn": CERTIFICATE},
    "inside": {"scheme": "internal"},
}


def site(**balancer: Any) -> dict[str, Any]:  # noqa: ANN401 - what a person may write
    return {"tier": "frontend", "port": 8080, "desired_count": 1, "balancer": {"name": "public", **balancer}}


SERVICES: dict[str, Any] = {
    "buyer": {**site(), "connects_to": ["api"]},
    "admin": {**site(paths=["/admin", "/admin/*"]), "connects_to": ["api", "cache"]},
    "api": {"tier": "private", "port": 5000, "desired_count": 2, "balancer": {"name": "inside"}},
    "worker": {"tier": "private", "connects_to": ["api", "database"]},
}


def found(
    services: dict[str, Any] | None = None, declared: dict[str, Any] | None = None
) -> dict[str, balancers.Balancer]:
    made = balancers.balancers(services or SERVICES, declared or DECLARED)
    return {balancer["name"]: balancer for balancer in made}


def rules(services: dict[str, Any]) -> dict[int, tuple[str, list[str]]]:
    """Priority to who gets which paths."""
    made = found(services, {"public": DECLARED["public"]})["public"]["rules"]
    return {rule["priority"]: (rule["service"], rule["paths"]) for rule in made}


def test_a_public_balancer_answers_over_tls_and_sends_the_rest_there() -> None:
    public = found()["public"]
    assert (public["protocol"], public["port"]) == ("HTTPS", 443)
    assert balancers.public_ports(public) == [80, 443]
    assert public["settings"]["tls_policy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"


def test_nobody_comes_in_from_outside_by_an_internal_balancer() -> None:
    assert balancers.public_ports(found()["inside"]) == []


def test_a_service_without_paths_and_hosts_gets_what_no_rule_is_about() -> None:
    assert found()["public"]["default"] == "buyer"


def test_each_path_is_a_rule_of_its_own_and_the_most_specific_is_asked_first() -> None:
    services = {"a": site(paths=["/*", "/admin/*", "/admin/users"]), "b": site(hosts=["b.example.gov.uk"])}
    services["c"] = site(hosts=["c.example.gov.uk"], paths=["/x"])
    in_order = [(service, *paths) for _, (service, paths) in sorted(rules(services).items())]
    assert in_order == [("c", "/x"), ("b",), ("a", "/admin/users"), ("a", "/admin/*"), ("a", "/*")]


def test_priorities_stay_where_they_are_when_the_declaration_is_reordered_or_grows() -> None:
    services = {"a": site(paths=["/a/*"]), "b": site(paths=["/b/*"])}
    before = rules(services)
    after = rules({"new": site(paths=["/new"]), **dict(reversed(services.items()))})
    assert before.items() <= after.items()


def test_two_services_that_swap_their_paths_swap_targets_and_no_priority() -> None:
    """AWS refuses a priority that another rule has still, even within one update."""
    before = rules({"a": site(paths=["/a/*"]), "b": site(paths=["/b/*"])})
    after = rules({"a": site(paths=["/b/*"]), "b": site(paths=["/a/*"])})
    assert before.keys() == after.keys()
    assert {priority: paths for priority, (_, paths) in before.items()} == {
        priority: paths for priority, (_, paths) in after.items()
    }


def test_a_rule_is_known_to_cloudformation_by_its_priority() -> None:
    for rule in found()["public"]["rules"]:
        assert rule["id"] == f"PublicBalancerRule{rule['priority']}"


def test_as_many_rules_of_one_kind_as_aws_allows_have_priorities_of_their_own() -> None:
    made = rules({"a": site(paths=[f"/{number:03}/*" for number in range(100)])})
    assert len(made) == 100
    assert all(1 <= priority <= 50000 for priority in made)


def test_a_priority_that_is_given_counts_on_with_the_paths() -> None:
    assert list(rules({"a": site(paths=["/x", "/y"], priority=7)})) == [7, 8]


def test_another_balancer_or_port_makes_another_target_group() -> None:
    """A target group belongs to one balancer, and its port cannot be changed: the new one comes before the old goes."""
    names = {
        found({"a": {**site(), "port": port}}, {**DECLARED})["public"]["members"]["a"]["target_name"]
        for port in (8080, 8081)
    }
    assert len(names) == 2
    assert all(len(name) <= 32 for name in names)


@pytest.mark.parametrize(
    ("services", "declared", "message"),
    [
        ({"a": site(name="front")}, {}, "'front' is not declared; declared are: public, inside"),
        ({"a": site(path="/x")}, {}, "'path' is not known; known are: name, paths, hosts"),
        ({"a": site(paths=["admin"])}, {}, "'admin' of paths is nothing that a rule can match; write it such as /ad"),
        ({"a": site(hosts=["localhost"])}, {}, "'localhost' of hosts is nothing that a rule can match"),
        ({"a": site(paths=["/" + "x" * 128])}, {}, "with at most 128 characters"),
        ({"a": site(paths=["/x"]), "b": site(paths=["/x"])}, {}, "/x leads to 'a' and to 'b'"),
        ({"a": site(), "b": site()}, {}, "'a' and 'b' have neither paths nor hosts"),
        ({"a": site(paths=["/x"], hosts=[f"{n}.gov.uk" for n in range(5)])}, {}, "/x with 5 hosts has 6"),
        ({"a": site(paths=["/*/*/*/*/*/*/*"])}, {}, "a rule takes 6 wildcards"),
        ({"a": site(paths=["/x"], priority=5), "b": site(paths=["/y"], priority=5)}, {}, "both want the priority 5"),
        ({"a": site(paths=[f"/{n}" for n in range(101)])}, {}, "has 101 rules, one for each path; AWS allows 100"),
        ({"a": {**site(), "tier": "private"}}, {}, "a balancer that is public reaches services of the tier frontend"),
        ({"a": {"tier": "frontend", "balancer": {"name": "public"}}}, {}, "'a' declares no port"),
        ({}, {"public": {"scheme": "public"}}, "balancer 'public': a public one needs a certificate_arn"),
        ({}, {"public": {"scheme": "open"}}, "its scheme is public or internal"),
        ({}, {"public": {**DECLARED["public"], "tls_policy": "ELBSecurityPolicy-2016-08"}}, "lets in what is out of"),
        ({}, {"public": {**DECLARED["public"], "idle_timeout": 0}}, "idle_timeout is from 1 to 4000 seconds"),
        ({}, {"public": {**DECLARED["public"], "redirect_port": 443}}, "port and redirect_port differ"),
        ({}, {"public": {**DECLARED["public"], "waf": ""}}, "'waf' is not known"),
        ({}, {"a" * 24: {}}, "is no name of a load balancer"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_by_name(
    services: dict[str, Any], declared: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message.replace("*", r"\*")):
        balancers.balancers(services, {**DECLARED, **declared})


def test_stricter_and_newer_tls_policies_are_taken() -> None:
    for policy in ("TLS13-1-3-2021-06", "TLS13-1-2-Res-2021-06", "TLS13-1-2-Res-PQ-2025-09", "TLS13-1-2-FIPS-2023-04"):
        declared = {**DECLARED, "public": {**DECLARED["public"], "tls_policy": f"ELBSecurityPolicy-{policy}"}}
        assert found(declared=declared)["public"]["settings"]["tls_policy"].endswith(policy)


def test_whoever_connects_to_a_service_behind_an_internal_balancer_reaches_the_balancer_alone() -> None:
    arrows = {(arrow["source"], arrow["target"], arrow["port"]) for arrow in balancers.connections(SERVICES, DECLARED)}
    assert arrows == {
        ("buyer", "inside_balancer", 80),
        ("admin", "inside_balancer", 80),
        ("admin", "cache", 6379),
        ("worker", "inside_balancer", 80),
        ("worker", "database", 5432),
        ("public_balancer", "buyer", 8080),
        ("public_balancer", "admin", 8080),
        ("inside_balancer", "api", 5000),
    }


def test_an_arrow_into_the_other_vpc_needs_a_balancer_there() -> None:
    services = {**SERVICES, "api": {"tier": "private", "port": 5000}}
    with pytest.raises(DeclarationError, match="'buyer' connects_to 'api' in the account's other VPC"):
        balancers.connections(services, DECLARED)


def test_the_vpcs_are_joined_only_where_an_arrow_leads_across() -> None:
    assert balancers.crosses_networks(SERVICES)
    assert not balancers.crosses_networks({"frontend": site(), "worker": SERVICES["worker"], "api": SERVICES["api"]})


def test_the_matrix_shows_the_world_at_the_public_balancer_and_nowhere_else() -> None:
    matrix = matrices.connection_matrix(SERVICES, balancers=DECLARED)
    reached = {target: ports for target, ports in matrix["matrix"][matrices.WORLD].items() if ports}
    assert reached == {"public_balancer": [80, 443]}
    assert "| 80, 443 |" in matrices.markdown_table(matrix)
    assert "world -->|443| public_balancer" in matrices.drawing(matrix, SERVICES)
