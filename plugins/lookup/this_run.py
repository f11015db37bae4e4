# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup `this_run`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: this_run
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Who runs this, and in which run
description:
  - Names the run of Ansible, so that it is told from all others, and whoever on the same machine asks can find out
    whether it still goes on.
options:
  _terms:
    description: None are taken.
    type: list
    elements: str
seealso:
  - module: localgov.platform.deployment_lock
"""

EXAMPLES = r"""
- name: Say who runs this
  ansible.builtin.debug:
    msg: "{{ lookup('localgov.platform.this_run').operator }}"
"""

RETURN = r"""
_raw:
  description: One mapping.
  type: list
  elements: dict
  contains:
    operator:
      description: The operator, as C(user@control-node).
      type: str
      returned: always
    directory:
      description: >-
        A directory that only the operator can enter, in which the run's locks are written down. It goes when the run
        has ended, however it ends.
      type: str
      returned: always
    run:
      description: The run - the machine since it was started, its namespace of processes, the process and its start.
      type: str
      returned: always
"""

from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.lookup import LookupBase
from ansible_collections.localgov.platform.plugins.module_utils._deployment_lock import this_machine
from ansible_collections.localgov.platform.plugins.plugin_utils._run_directory import (
    controller_pid,
    locks_directory,
    process_started,
)
from ansible_collections.localgov.platform.plugins.plugin_utils._session_request import operator_session_name


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core has no type stubs
    """The lookup."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **_: object) -> list[dict[str, str]]:
        pid = controller_pid()
        run = ".".join([*this_machine(), str(pid), process_started(pid)])
        directory = locks_directory(Path(constants.DEFAULT_LOCAL_TMP))
        return [{"operator": operator_session_name(), "directory": str(directory), "run": run}]
