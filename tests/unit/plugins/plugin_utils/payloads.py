# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible hands to Python for a module: real payloads, and programs that pass for one."""

from __future__ import annotations

import functools
from typing import Any

from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar

HEAD = b"\n_ANSIBALLZ_WRAPPER = True\n"


# Ansible's finder of collections is installed once for a process.
_init = functools.cache(init_plugin_loader)


def program(source: str) -> bytes:
    return HEAD + source.encode()


def payload(python: str, module: str, **arguments: Any) -> bytes:  # noqa: ANN401  # of any module
    """The payload of a module, as Ansible builds it for that Python."""
    _init()
    context = module_loader.find_plugin_with_context(module, collection_list=[])
    built = modify_module(
        module_name=context.resolved_fqcn or module,
        module_path=context.plugin_resolved_path,
        module_args=arguments,
        templar=Templar(loader=DataLoader()),
        task_vars={"ansible_python_interpreter": python},
    )
    return bytes(built.b_module_data)
