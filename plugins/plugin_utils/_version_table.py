# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions run where: what most accounts have in common, and who differs from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _tables

Versions = Mapping[str, Any]
# What an account has one of, with its heading.
_SINGLE = {"dagster": "Dagster", "schema": "Schema", "configuration": "Configuration"}
_MARK = "!"
_SHORT = 8  # letters of a digest's tag; enough to tell images apart


def version_table(accounts: Mapping[str, Versions]) -> dict[str, Any]:
    """`coherent`, `common`, `accounts` (with `differs`), and `lines` for a terminal; *accounts* by name, in order."""
    deployed = [one for one in accounts.values() if one["deployed"]]
    common, expected = _common(deployed), _services_of_most(deployed)
    rows = [
        {"account": name, **one, "differs": list(_differences(one, common, expected))} for name, one in accounts.items()
    ]
    return {
        "coherent": not any(row["differs"] for row in rows),
        "common": common,
        "accounts": rows,
        "lines": _lines(rows, list(common["services"])),
    }


def _common(deployed: list[Versions]) -> dict[str, Any]:
    """Of each thing what most accounts have; where as many have another, what the first of them has."""
    names = list(dict.fromkeys(name for one in deployed for name in one["services"]))
    return {
        "services": {
            name: _most(one["services"][name]["digest"] for one in deployed if name in one["services"])
            for name in names
        },
        **{key: _most(one[key] for one in deployed) for key in _SINGLE},
    }


def _most(values: Iterable[object]) -> object:
    # `None` is what nobody knows, and common to none.
    counted = Counter(value for value in values if value is not None)
    return counted.most_common(1)[0][0] if counted else None


def _services_of_most(deployed: list[Versions]) -> list[str]:
    counted = Counter(name for one in deployed for name in one["services"])
    return [name for name, count in counted.items() if 2 * count > len(deployed)]


def _differences(one: Versions, common: Mapping[str, Any], expected: list[str]) -> Iterator[str]:
    if not one["deployed"]:
        yield "deployed"
        return
    services: Mapping[str, Any] = one["services"]
    for name in common["services"]:
        if name not in services:
            if name in expected:
                yield name
        elif _unlike(services[name]["digest"], common["services"][name]) or name in one["below"]:
            yield name
    for key in _SINGLE:
        # A schema that all have in common may be older than the image expects.
        if _unlike(one[key], common[key]) or (key == "schema" and one.get("migrates")):
            yield key
    if (one.get("release") or {}).get("state") == "trial":
        yield "release"


def _unlike(value: object, common: object) -> bool:
    """What nobody knows is not known to be different."""
    return value is not None and value != common


def _lines(rows: list[dict[str, Any]], services: list[str]) -> list[str]:
    columns = {
        "account": "Account",
        **{f"service {name}": name for name in services},
        **_SINGLE,
        "release": "Release",
    }
    return _tables.aligned((_row(row, services) for row in rows), columns)


def _row(row: Mapping[str, Any], services: list[str]) -> dict[str, str]:
    if not row["deployed"]:
        return {"account": row["account"], "release": f"not deployed {_MARK}"}
    release = (row["release"] or {}).get("state") or "none"
    cells = {
        **{f"service {name}": "none" for name in services},
        **{f"service {name}": _told(service, below=name in row["below"]) for name, service in row["services"].items()},
        **{key: str(row[key] or "?") for key in _SINGLE},
        "release": release,
    }
    marked = set(row["differs"]) | {f"service {name}" for name in row["differs"]}
    return {
        "account": row["account"],
        **{key: f"{cell} {_MARK}" if key in marked else cell for key, cell in cells.items()},
    }


def _told(service: Mapping[str, Any], *, below: bool) -> str:
    """The beginning of the digest, and the count where it is not what it should be."""
    digest = str(service["tag"] or "?")[:_SHORT]
    return f"{digest} {service['running']}/{service['desired']}" if below else digest
