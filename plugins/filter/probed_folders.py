# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `probed_folders`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: probed_folders
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Where probes have to lie for trials of access
description:
  - The buckets of one account, each with the folders that a declaration or a share names, and its top.
  - The result is what the module M(localgov.platform.access_probe) takes as C(buckets).
positional: _input
extends_documentation_fragment: localgov.platform.estate
"""

EXAMPLES = r"""
- name: Show where camden's probes will lie
  ansible.builtin.debug:
    msg: "{{ estate | localgov.platform.probed_folders(host='camden') }}"
"""

RETURN = r"""
_value:
  description: Buckets, each with C(name) and C(prefixes), where the empty prefix is the bucket's top.
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible_collections.localgov.platform.plugins.plugin_utils import _expected_access


def probed_folders(estate: _expected_access.Estate, host: str) -> list[dict[str, Any]]:
    """See `_expected_access`."""
    # Each worker of Ansible that needs any filter of a collection loads all of them; this one would bring botocore.
    from ansible_collections.localgov.platform.plugins.plugin_utils import _expected_access

    return _expected_access.probed_folders(estate, host)


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"probed_folders": probed_folders}
