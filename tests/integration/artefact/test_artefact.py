# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ansible-galaxy collection build` makes of this checkout can be installed and used."""

from __future__ import annotations

import tarfile
from pathlib import Path

from tests.integration.artefact.conftest import run


def test_the_artefact_holds_the_collection_and_nothing_that_was_made_here(artefact: Path) -> None:
    with tarfile.open(artefact) as archive:
        names = archive.getnames()
    for needed in ("plugins/connection/aws_account.py", "roles/la_services/tasks/main.yml", "playbooks/site.yml"):
        assert needed in names
    made_here = {".venv", "build", "node_modules", ".sandbox", "__pycache__", ".hypothesis", ".git"}
    assert not [name for name in names if made_here & set(Path(name).parts)]
    assert artefact.stat().st_size < 5_000_000


def test_the_installed_artefact_is_found_by_ansible(artefact: Path, elsewhere: Path) -> None:
    alone = {"ANSIBLE_CONFIG": str(elsewhere / "ansible.cfg")}
    run("ansible-galaxy", "collection", "install", "--no-deps", "--force", str(artefact), cwd=elsewhere, **alone)
    shown = run("ansible-doc", "-t", "connection", "localgov.platform.aws_account", cwd=elsewhere, **alone)
    assert "Makes an AWS account an Ansible host" in shown
    roles = run("ansible-doc", "-t", "role", "-l", "localgov.platform", cwd=elsewhere, **alone)
    for role in ("org_ecr", "la_network", "la_services", "shared_bucket"):
        assert f"localgov.platform.{role}" in roles
