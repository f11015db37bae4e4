# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters `access_trials` and `probed_folders`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: access_trials
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: What each role of an account is to try, and what is expected
description:
  - Turns what all accounts declare to run, and what the inventory says of their shares, into trials of access for the
    roles of one account. Of deployed policies nothing is known here.
  - The result is what M(localgov.platform.cross_account_access_info) takes as C(principals), and what
    M(localgov.platform.access_probe) lends to C(roles) for it.
positional: _input
options:
  roles:
    description: Names of roles, if not all of them are to try. The deploy role is called C(deployer).
    type: list
    elements: str
  probes:
    description:
      - Which version each probe is, as RV(localgov.platform.access_probe#module:versions) says, of all accounts.
      - Without it, trials that read a version look for the one that is there without versioning.
    type: dict
extends_documentation_fragment: localgov.platform.estate
"""

EXAMPLES = r"""
- name: Show what camden's roles would try
  ansible.builtin.debug:
    msg: "{{ estate | localgov.platform.access_trials(host='camden') }}"
"""

RETURN = r"""
_value:
  description:
    - C(principals), one for each role, with C(role) and C(trials). The deployer's has no C(role).
    - C(loans), the C(name) of each role that borrows C(statements) for its trials. Outside, the first is the sign that
      a run is at work, which is the same for all runs and may do nothing.
    - C(takes), the C(name) of every role that may have borrowed, whose loan is to be taken back; the sign is the last.
  type: dict
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils._declaration import DeclarationError

if TYPE_CHECKING:
    from ansible_collections.localgov.platform.plugins.plugin_utils import _expected_access


def access_trials(
    estate: _expected_access.Estate,
    host: str,
    roles: list[str] | None = None,
    probes: dict[str, str] | None = None,
) -> dict[str, Any]:
    """See `_expected_access`; a faulty inventory becomes Ansible's own filter error."""
    # Each worker of Ansible that needs any filter of a collection loads all of them; this one would bring botocore.
    from ansible_collections.localgov.platform.plugins.plugin_utils import _expected_access

    try:
        principals = _expected_access.with_versions(_expected_access.principals(estate, host), probes or {})
    except DeclarationError as error:
        raise AnsibleFilterError(f"access_trials of {host}: {error}") from error
    known = ["deployer", *_expected_access.every_role(estate)]
    if unknown := [role for role in roles or [] if role not in known]:
        raise AnsibleFilterError(f"access_trials of {host}: no role '{unknown[0]}' is declared; {', '.join(known)} are")
    sign = _expected_access.sign(estate, host)
    signs = [sign] if sign else []
    wanted = [each for each in principals if not roles or (each["role"] or "deployer") in roles]
    return {
        "principals": [{"role": each["role"], "trials": each["trials"]} for each in wanted],
        # The sign comes first, so that of two runs one stops before it has made anything, and goes last.
        "loans": [
            {"name": each["role"], "statements": each["statements"]} for each in [*signs, *wanted] if each["statements"]
        ],
        # All that may have been lent, by an earlier run that was killed too.
        "takes": [{"name": each["role"], "statements": []} for each in [*principals, *signs] if each["role"]],
    }


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"access_trials": access_trials}
