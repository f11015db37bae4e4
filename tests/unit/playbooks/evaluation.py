# SPDX-License-Identifier: GPL-3.0-or-later
"""What the names that every playbook computes come to with an inventory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

ROOT = Path(__file__).resolve().parents[3]


def evaluate(folder: Path, expression: str, inventory: dict[str, Any]) -> dict[str, Any]:
    """Host to what a Jinja expression comes to there, beside playbooks/group_vars; *folder* is for the inventory."""
    (folder / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
    loader = DataLoader()
    loader.set_basedir(str(ROOT / "playbooks"))
    hosts = InventoryManager(loader=loader, sources=[str(folder / "inventory.yml")])
    variables = VariableManager(loader=loader, inventory=hosts)
    # It makes itself known to the manager, which gives names of other hosts by it.
    HostVars(inventory=hosts, variable_manager=variables, loader=loader)
    template = trust_as_template(f"{{{{ {expression} }}}}")
    return {
        host.name: Templar(loader=loader, variables=variables.get_vars(host=host)).template(template)
        for host in hosts.get_hosts()
    }
