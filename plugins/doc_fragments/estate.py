# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filters that look at a whole estate have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of these filters, where Ansible's documentation looks for them."""

    DOCUMENTATION = r"""
options:
  _input:
    description:
      - The estate, with C(prefix) and C(region) of the platform, and C(hosts) by inventory name.
      - Each host has C(account_id), C(kind) (V(organisation), V(local_authority) or V(outsider)), C(services) and
        C(locations) as it declares them, C(share) (C(state), C(prefixes), C(expires), and what the authority itself has
        C(decided)), and the organisation's has C(images).
    type: dict
    required: true
  host:
    description: The host that is looked at.
    type: str
    required: true
"""
