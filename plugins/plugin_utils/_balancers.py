# SPDX-License-Identifier: GPL-3.0-or-later
"""Load balancers that follow from a declaration of services: who is behind which, and by which rule.

A service says `balancer: {name: public, paths: [/admin, /admin/*]}`; the account's `balancers` say what each name is.
Nothing here is AWS's own language but limits: the template turns the answer into resources.

Priorities of rules are AWS's order of evaluation, the lowest first. They follow from a rule's own conditions, the most
specific first, so a rule that comes or goes leaves the others where they are. A rule is known to CloudFormation by its
priority (`id`): an update changes what a priority does, and never moves a priority to another rule, which AWS would
refuse as long as the other has it.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, TypedDict

from ansible_collections.localgov.platform.plugins.plugin_utils import _declaration
from ansible_collections.localgov.platform.plugins.plugin_utils._declaration import (
    FRONTEND_TIER,
    STORES,
    Connection,
    Declaration,
    DeclarationError,
    balancer_of,
    balancer_party,
    camel,
)

HTTP, HTTPS = "HTTP", "HTTPS"
PUBLIC, INTERNAL = "public", "internal"
# Where a balancer of each scheme lies, and so what can be behind it: targets are in the balancer's own VPC.
_TIERS = {PUBLIC: (FRONTEND_TIER,), INTERNAL: ("private", "dagit")}

# The least that is allowed: TLS 1.2 with forward secrecy, and 1.3. Newer ones and stricter ones (Res, FIPS, PQ) too.
_TLS_POLICY = re.compile(r"ELBSecurityPolicy-TLS13-1-[23](-Res)?(-FIPS)?(-PQ)?-\d{4}-\d{2}")
_CERTIFICATE = re.compile(r"arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+")
_WEB_ACL = re.compile(r"arn:aws[a-z-]*:wafv2:[a-z0-9-]+:\d{12}:regional/webacl/[\w-]+/[\w-]+")
_PATH = re.compile(r"[/*][A-Za-z0-9_\-.$/~\"'@:+&()*?]{0,127}")
_HOST = re.compile(r"(?=.{1,128}$)[A-Za-z0-9*?-]+(\.[A-Za-z0-9*?-]+)+")
_NAME = re.compile(r"[a-z]+(_[a-z]+)*")
_LONGEST_NAME = 32

DEFAULTS: dict[str, Any] = {
    "scheme": INTERNAL,
    "certificate_arn": "",
    "tls_policy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "port": 0,
    "redirect_port": 80,
    "host_name": "",
    "access_logs_bucket": "",
    "access_logs_prefix": "",
    "web_acl_arn": "",
    "idle_timeout": 60,
    "deletion_protection": False,
    "desync_mitigation": "defensive",
}
MEMBER_DEFAULTS: dict[str, Any] = {
    "name": "",
    "paths": [],
    "hosts": [],
    "priority": 0,
    "health_path": "/",
    "health_codes": "200",
    "health_interval": 15,
    "grace_period": 120,
    "deregistration_delay": 30,
}

# Of one rule and of one balancer, by AWS's quotas.
_VALUES_PER_RULE, _WILDCARDS_PER_RULE, _RULES_PER_BALANCER = 5, 6, 100
_HIGHEST_PRIORITY = 50000
# Priorities that are derived: a band for the kind of conditions, in it a step for the length of the path up to its
# first wildcard, in it one half for exact paths and one for patterns.
_BAND, _LONGEST, _SLOTS = 16000, 60, 131


class Rule(TypedDict):
    """Requests with one of `hosts` (if any) and one of `paths` (if any) go to `service`."""

    id: str
    priority: int
    hosts: list[str]
    paths: list[str]
    service: str


class Balancer(TypedDict):
    """One balancer as the template needs it; `settings` are those of the account's `balancers`, completed."""

    name: str
    id: str
    party: str
    full_name: str
    settings: dict[str, Any]
    protocol: str
    port: int
    members: dict[str, dict[str, Any]]
    default: str
    rules: list[Rule]


def balancers(services: Declaration, declared: dict[str, dict[str, Any]], prefix: str = "localgov") -> list[Balancer]:
    """Every declared balancer with its members and rules. Raises DeclarationError for what AWS would refuse or miss."""
    for name, service in services.items():
        _check_member(name, service, declared)
    return [_balancer(name, settings or {}, services, prefix) for name, settings in declared.items()]


def connections(services: Declaration, declared: dict[str, dict[str, Any]]) -> list[Connection]:
    """Every connection inside the account: the declaration's arrows, and from each balancer to those behind it.

    An arrow to a service behind an internal balancer leads to the balancer.
    """
    found = balancers(services, declared)
    through = ways_through(found)
    arrows = [_through(arrow, services, through) for arrow in _declaration.connections(services)]
    behind: list[Connection] = [
        {"source": balancer["party"], "target": service, "port": int(services[service]["port"])}
        for balancer in found
        for service in balancer["members"]
    ]
    # Two services behind one balancer are one target.
    return [arrow for number, arrow in enumerate(arrows) if arrow not in arrows[:number]] + behind


def ways_through(found: list[Balancer]) -> dict[str, Balancer]:
    """Service to the internal balancer by which other services reach it."""
    return {
        service: balancer
        for balancer in found
        if balancer["settings"]["scheme"] == INTERNAL
        for service in balancer["members"]
    }


def crosses_networks(services: Declaration) -> bool:
    """Whether a connection leads from one of the account's two VPCs to the other, so that they must be joined."""
    return any(
        _crosses(source, target, services)
        for source, service in services.items()
        for target in service.get("connects_to") or []
    )


def _through(arrow: Connection, services: Declaration, through: dict[str, Balancer]) -> Connection:
    source, target = arrow["source"], arrow["target"]
    if target in through:
        return {"source": source, "target": through[target]["party"], "port": through[target]["port"]}
    _require(
        target in STORES or not _crosses(source, target, services),
        f"service '{source}' connects_to '{target}' in the account's other VPC, where names of services are not known; "
        f"put '{target}' behind an internal balancer, or both into one VPC (tier)",
    )
    return arrow


def _crosses(source: str, target: str, services: Declaration) -> bool:
    at_the_front = [services.get(name, {}).get("tier") == FRONTEND_TIER for name in (source, target)]
    return at_the_front[0] != at_the_front[1]


def public_ports(balancer: Balancer) -> list[int]:
    """Where the world may come in; none at an internal balancer."""
    settings = balancer["settings"]
    if settings["scheme"] != PUBLIC:
        return []
    return sorted({balancer["port"], *([int(settings["redirect_port"])] if settings["redirect_port"] else [])})


def _balancer(name: str, given: dict[str, Any], services: Declaration, prefix: str) -> Balancer:
    settings = _settings(name, given)
    full_name = f"{prefix}-{name.replace('_', '-')}"
    _require(
        bool(_NAME.fullmatch(name)) and len(full_name) <= _LONGEST_NAME,
        f"balancer '{name}': '{full_name}' is no name of a load balancer; take lower-case letters and "
        f"underscores, with the prefix at most {_LONGEST_NAME} of them",
    )
    _require(balancer_party(name) not in services, f"balancer '{name}' and service '{balancer_party(name)}' clash")
    members = {
        service: {
            **MEMBER_DEFAULTS,
            **balancer_of(settings_of),
            "target_id": f"{camel(service)}Behind{camel(balancer_party(name))}",
            "target_name": _target_name(service, int(settings_of["port"]), full_name, prefix),
        }
        for service, settings_of in services.items()
        if balancer_of(settings_of).get("name") == name
    }
    protocol = HTTPS if settings["certificate_arn"] else HTTP
    return {
        "name": name,
        "id": camel(balancer_party(name)),
        "party": balancer_party(name),
        "full_name": full_name,
        "settings": settings,
        "protocol": protocol,
        "port": int(settings["port"]) or (443 if protocol == HTTPS else 80),
        "members": members,
        "default": _default(name, members),
        "rules": _rules(name, members),
    }


def _target_name(service: str, port: int, full_name: str, prefix: str) -> str:
    """A target group that is replaced comes before the old one goes, so whatever replaces it is part of its name."""
    mark = hashlib.sha256(json.dumps([service, port, full_name]).encode()).hexdigest()[:6]
    return f"{prefix}-{service.replace('_', '-')}"[: _LONGEST_NAME - 7].rstrip("-") + f"-{mark}"


def _settings(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The balancer's settings, completed and checked."""
    _check_keys(f"balancer '{name}'", given, DEFAULTS)
    settings = {**DEFAULTS, **given}
    checks = {
        f"its scheme is {PUBLIC} or {INTERNAL}": settings["scheme"] in _TIERS,
        "a public one needs a certificate_arn, of ACM in the account's own region": (
            settings["scheme"] != PUBLIC or bool(settings["certificate_arn"])
        ),
        f"certificate_arn '{settings['certificate_arn']}' is no ARN of a certificate of ACM": _empty_or(
            _CERTIFICATE, settings["certificate_arn"]
        ),
        f"tls_policy '{settings['tls_policy']}' lets in what is out of date; take {DEFAULTS['tls_policy']} or a "
        "stricter or newer one": bool(_TLS_POLICY.fullmatch(settings["tls_policy"])),
        f"web_acl_arn '{settings['web_acl_arn']}' is no ARN of a regional web ACL": _empty_or(
            _WEB_ACL, settings["web_acl_arn"]
        ),
        "idle_timeout is from 1 to 4000 seconds": 1 <= int(settings["idle_timeout"]) <= 4000,
        "desync_mitigation is defensive or strictest": settings["desync_mitigation"] in ("defensive", "strictest"),
        "port and redirect_port differ and are from 1 to 65535 (redirect_port 0: no redirect)": _ports_fit(settings),
    }
    for expectation, kept in checks.items():
        _require(kept, f"balancer '{name}': {expectation}")
    return settings


def _ports_fit(settings: dict[str, Any]) -> bool:
    port, redirect = int(settings["port"]), int(settings["redirect_port"])
    differ = settings["scheme"] != PUBLIC or (port or 443) != redirect
    return 0 <= port <= 65535 and 0 <= redirect <= 65535 and differ


def _check_member(name: str, service: dict[str, Any], declared: dict[str, dict[str, Any]]) -> None:
    """What a service says of its balancer can be carried out."""
    member = balancer_of(service)
    if not member:
        return
    where = f"service '{name}', balancer"
    _check_keys(where, member, MEMBER_DEFAULTS)
    known = ", ".join(declared) or "none"
    _require(member.get("name") in declared, f"{where}: '{member.get('name')}' is not declared; declared are: {known}")
    _require("port" in service, f"{where}: '{name}' declares no port; give it the one that it listens on")
    _require("desired_count" in service, f"{where}: '{name}' is a task that is launched, not a service")
    scheme = (declared[member["name"]] or {}).get("scheme", DEFAULTS["scheme"])
    tiers = _TIERS.get(scheme, ())
    _require(
        not tiers or service.get("tier") in tiers,
        f"{where}: a balancer that is {scheme} reaches services of the tier {' or '.join(tiers)}, "
        f"and '{name}' is in the tier '{service.get('tier')}'",
    )
    for key, pattern, example in (("paths", _PATH, "/admin/*"), ("hosts", _HOST, "admin.example.gov.uk")):
        for value in member.get(key) or []:
            _require(
                bool(pattern.fullmatch(str(value))),
                f"{where}: '{value}' of {key} is nothing that a rule can match; write it such as {example}, with at "
                "most 128 characters",
            )


def _default(name: str, members: dict[str, dict[str, Any]]) -> str:
    """Who gets the requests that no rule is about: a service without paths and hosts."""
    found = [service for service, member in members.items() if not member["paths"] and not member["hosts"]]
    _require(
        len(found) <= 1,
        f"balancer '{name}': {' and '.join(map(repr, found))} have neither paths nor hosts; "
        "only one service can get what no rule is about",
    )
    return found[0] if found else ""


def _rules(name: str, members: dict[str, dict[str, Any]]) -> list[Rule]:
    """A rule for each path, or one for the hosts of a service without paths, in the order of evaluation."""
    wanted = _wanted(name, members)
    claimed: dict[int, str] = {}
    rules: list[Rule] = []
    # Explicit ones first; then in the order of their text, so that the declaration's order does not matter.
    for service, hosts, path, explicit in sorted(wanted, key=lambda entry: (not entry[3], entry[1], entry[2])):
        priority = explicit or _free_priority(name, hosts, path, claimed)
        _require(
            priority not in claimed,
            f"balancer '{name}': '{service}' and '{claimed.get(priority)}' both want the priority {priority}; a "
            "service with several paths takes as many priorities, from its own one on",
        )
        _require(1 <= priority <= _HIGHEST_PRIORITY, f"balancer '{name}': priority {priority} is beyond 50000")
        claimed[priority] = service
        identifier = f"{camel(balancer_party(name))}Rule{priority}"
        paths = [path] if path else []
        rules.append({"id": identifier, "priority": priority, "hosts": hosts, "paths": paths, "service": service})
    return sorted(rules, key=lambda rule: rule["priority"])


def _wanted(name: str, members: dict[str, dict[str, Any]]) -> list[tuple[str, list[str], str, int]]:
    """Service, hosts, path and explicit priority (0: none) of each rule."""
    wanted: list[tuple[str, list[str], str, int]] = []
    owners: dict[tuple[str, str], str] = {}
    for service, member in members.items():
        hosts = sorted(str(host).lower() for host in member["hosts"])
        for number, path in enumerate(member["paths"] or ([""] if hosts else [])):
            _check_size(service, hosts, str(path))
            for host in hosts or [""]:
                before = owners.setdefault((host, str(path)), service)
                _require(
                    before == service and hosts.count(host) <= 1 and list(member["paths"]).count(path) <= 1,
                    f"balancer '{name}': {host}{path} leads to '{before}' and to '{service}'; "
                    "a path of a host can lead to one service, and is named once",
                )
            wanted.append((service, hosts, str(path), member["priority"] and int(member["priority"]) + number))
    _require(
        len(wanted) <= _RULES_PER_BALANCER,
        f"balancer '{name}' has {len(wanted)} rules, one for each path; AWS allows {_RULES_PER_BALANCER}",
    )
    return wanted


def _check_size(service: str, hosts: list[str], path: str) -> None:
    values = [*hosts, *([path] if path else [])]
    _require(
        len(values) <= _VALUES_PER_RULE,
        f"service '{service}', balancer: a rule takes {_VALUES_PER_RULE} values of conditions, and "
        f"{path or 'its rule'} with {len(hosts)} hosts has {len(values)}; take a wildcard host, "
        "such as *.example.gov.uk",
    )
    wildcards = sum(value.count("*") + value.count("?") for value in values)
    _require(
        wildcards <= _WILDCARDS_PER_RULE,
        f"service '{service}', balancer: a rule takes {_WILDCARDS_PER_RULE} wildcards, and {path or 'its rule'} "
        f"has {wildcards}",
    )


def _free_priority(name: str, hosts: list[str], path: str, claimed: dict[int, str]) -> int:
    """By what the rule is about; the next free one where two meet."""
    band = 2 if not hosts else (0 if path else 1)
    literal = len(re.split(r"[*?]", path, maxsplit=1)[0])
    is_pattern = "*" in path or "?" in path
    first = 1 + band * _BAND + (_LONGEST - min(literal, _LONGEST)) * 2 * _SLOTS + (_SLOTS if is_pattern else 0)
    digest = hashlib.sha256(json.dumps([hosts, path]).encode()).digest()
    start = int.from_bytes(digest[:4], "big")
    for step in range(_SLOTS):
        priority = first + (start + step) % _SLOTS
        if priority not in claimed:
            return priority
    raise DeclarationError(f"balancer '{name}': too many rules as specific as {path or hosts}; give them priorities")


def _check_keys(where: str, given: dict[str, Any], known: dict[str, Any]) -> None:
    unknown = [key for key in given if key not in known]
    _require(not unknown, f"{where}: {', '.join(map(repr, unknown))} is not known; known are: {', '.join(known)}")


def _empty_or(pattern: re.Pattern[str], text: str) -> bool:
    return not text or bool(pattern.fullmatch(text))


def _require(kept: bool, message: str) -> None:
    if not kept:
        raise DeclarationError(message)
