# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback `loaded_once`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: loaded_once
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
type: aggregate
short_description: Loads the collection's plugins once in a run
description:
  - Ansible runs each task of each host in a fork of its own, which loads the plugins that it needs and forgets them.
    This callback loads what nearly every task for an AWS account needs, before the first fork. It prints nothing.
  - It also has Python look for garbage less often. Each fork would look through all that there is, and so copy it.
  - A quarter of the processor time of a run of many tasks is saved by the one, a twentieth by the other.
requirements:
  - To be named in C(callbacks_enabled) of C(ansible.cfg), or in E(ANSIBLE_CALLBACKS_ENABLED).
"""

import gc

from ansible.playbook import Playbook
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import connection_loader, filter_loader, shell_loader, test_loader

_NEW_OBJECTS_BEFORE_A_LOOK = 50_000


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no type stubs
    """Its one method is called in the process from which all workers are forked."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "localgov.platform.loaded_once"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        connection_loader.get("localgov.platform.aws_account", class_only=True)
        shell_loader.get("sh")
        # To find any one of a collection's, and any one of its own, Ansible loads them all.
        filter_loader.get("localgov.platform.zip_archive")
        test_loader.get("ansible.builtin.match")
        # A fork lives for one task, which leaves little behind.
        gc.freeze()
        gc.set_threshold(_NEW_OBJECTS_BEFORE_A_LOOK)
