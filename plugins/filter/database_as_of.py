# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `database_as_of`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: database_as_of
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Which of an account's databases was there at a moment
description:
  - A database that is restored is another one to AWS, with backups of its own. To go back in time, one has to know
    whose backups reach there - those of the database that is there, or of one that left a snapshot when it went.
positional: _input
options:
  _input:
    description:
      - What M(amazon.aws.rds_instance_info) and M(amazon.aws.rds_snapshot_info) returned of one database's name, in one
        list; or M(amazon.aws.rds_cluster_info) and the snapshots of a cluster.
    type: list
    elements: dict
    required: true
  moment:
    description: The moment, in UTC, as in V(2026-11-21T10:15:00Z).
    type: str
    required: true
  now:
    description: The present, in the same form.
    type: str
    required: true
  days:
    description: For how many days backups are kept.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Find whose backups reach the moment
  ansible.builtin.set_fact:
    database_then: >-
      {{ (instances + snapshots) | localgov.platform.database_as_of(
           moment='2026-11-21T10:15:00Z', now=now(utc=true, fmt='%Y-%m-%dT%H:%M:%SZ'), days=7) }}
  vars:
    instances: []
    snapshots:
      - dbi_resource_id: db-EXAMPLE
        instance_create_time: "2026-11-20T09:00:00+00:00"
        engine_version: "17.7"
"""

RETURN = r"""
_value:
  description: Its C(resource_id), C(engine_version), and C(since) when it was there.
  type: dict
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible.errors import AnsibleFilterError

_FORM = "%Y-%m-%dT%H:%M:%SZ"
_NEVER = datetime.max.replace(tzinfo=UTC)


def database_as_of(found: list[dict[str, Any]], moment: str, now: str, days: int) -> dict[str, str]:
    """The database whose backups reach the moment; Ansible's filter error, which says what is possible, if none do."""
    try:
        at = datetime.strptime(moment, _FORM).replace(tzinfo=UTC)
    except ValueError:
        raise AnsibleFilterError(f"'{moment}' is no moment. Write it in UTC, as in 2026-11-21T10:15:00Z.") from None
    present = datetime.strptime(now, _FORM).replace(tzinfo=UTC)
    if at > present:
        raise AnsibleFilterError(f"{moment} is still to come. Give a moment that is over; it is {now}.")
    if at < present - timedelta(days=days):
        raise AnsibleFilterError(
            f"{moment} is longer ago than {days} days, for which backups of the database are kept."
        )
    # Of one that is there and has left snapshots, what is known of itself comes last.
    known = sorted(
        (one for one in found if _since(one) != _NEVER), key=lambda one: (_since(one), "latest_restorable_time" in one)
    )
    before = [one for one in known if _since(one) <= at]
    if not before:
        first = f"; the first that is known was made at {_since(known[0]):{_FORM}}" if known else ""
        raise AnsibleFilterError(f"There was no database at {moment}{first}. Give a later moment, or a snapshot.")
    chosen = before[-1]
    latest = chosen.get("latest_restorable_time")
    if latest and datetime.fromisoformat(latest) < at:
        raise AnsibleFilterError(
            f"Backups of the database reach {latest} so far. Give that moment or an earlier one, or wait five minutes."
        )
    if not latest:
        # It is gone, and left a snapshot last.
        ended = max((_taken(one) for one in known if _resource(one) == _resource(chosen)), default=_NEVER)
        if ended < at:
            raise AnsibleFilterError(
                f"There was no database at {moment}: the last one before was removed at {ended:{_FORM}}. "
                "Give an earlier moment."
            )
    return {
        "resource_id": _resource(chosen),
        "engine_version": str(chosen["engine_version"]),
        "since": f"{_since(chosen):{_FORM}}",
    }


def _since(one: dict[str, Any]) -> datetime:
    """When it was made; one that is being made has not said."""
    made = one.get("instance_create_time") or one.get("cluster_create_time")
    return datetime.fromisoformat(made).replace(microsecond=0) if made else _NEVER


def _resource(one: dict[str, Any]) -> str:
    return str(one.get("dbi_resource_id") or one["db_cluster_resource_id"])


def _taken(one: dict[str, Any]) -> datetime:
    """When a snapshot was begun, which takes some time after the last change."""
    taken = one.get("snapshot_create_time")
    return datetime.fromisoformat(taken) if taken else _NEVER


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"database_as_of": database_as_of}
