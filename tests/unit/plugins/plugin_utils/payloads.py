# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible hands to Python for a module: real payloads, and programs that pass for one."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

HEAD = b"\n_ANSIBALLZ_WRAPPER = True\n"
# In a process of its own: Ansible's finder of collections comes too late where a test has imported one.
_BUILD = """
import json, sys
from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar

init_plugin_loader()
python, module, arguments = json.load(sys.stdin)
context = module_loader.find_plugin_with_context(module, collection_list=[])
built = modify_module(
    module_name=context.resolved_fqcn or module,
    module_path=context.plugin_resolved_path,
    module_args=arguments,
    templar=Templar(loader=DataLoader()),
    task_vars={"ansible_python_interpreter": python},
)
sys.stdout.buffer.write(built.b_module_data)
"""


def program(source: str) -> bytes:
    return HEAD + source.encode()


def payload(python: str, module: str, **arguments: Any) -> bytes:  # noqa: ANN401  # of any module
    """The payload of a module, as Ansible builds it for that Python."""
    asked = json.dumps([python, module, arguments]).encode()
    return subprocess.run([sys.executable, "-c", _BUILD], input=asked, stdout=subprocess.PIPE, check=True).stdout
