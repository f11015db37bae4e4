# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-builder makes of the artefact what a container engine needs for the image in which AWX runs it.

Building the image itself needs an engine, and hosts of packages; what goes into it does not.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.integration.artefact.conftest import run
from tests.sandbox.conftest import CHECKOUT

DEFINITION = yaml.safe_load((CHECKOUT / "execution-environment/execution-environment.yml").read_text(encoding="utf-8"))
OWN = (CHECKOUT / "meta/execution-environment-requirements.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def context(artefact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that an engine builds from."""
    folder = tmp_path_factory.mktemp("image")
    definition = shutil.copytree(CHECKOUT / "execution-environment", folder / "execution-environment")
    (folder / "build").mkdir()
    shutil.copy(artefact, folder / "build" / "localgov-platform.tar.gz")
    run("ansible-builder", "create", "--output-filename", "Containerfile", cwd=definition)
    return definition / "context"


def test_the_image_is_built_on_the_declared_one_with_a_python_that_the_collection_runs_on(context: Path) -> None:
    containerfile = (context / "Containerfile").read_text(encoding="utf-8")
    arguments = dict(re.findall(r'^ARG (\w+)="(.*)"$', containerfile, flags=re.MULTILINE))
    python = DEFINITION["dependencies"]["python_interpreter"]
    assert arguments["EE_BASE_IMAGE"] == DEFINITION["images"]["base_image"]["name"]
    assert (arguments["PYPKG"], arguments["PYCMD"]) == (python["package_system"], python["python_path"])
    (minor,) = re.findall(r"/usr/bin/python3\.(\d+)$", arguments["PYCMD"])
    assert int(minor) >= 11
    assert "FROM $EE_BASE_IMAGE AS base" in containerfile
    assert "RUN $PKGMGR install $PYPKG -y" in containerfile


def test_the_collection_that_goes_into_the_image_is_the_artefact(context: Path, artefact: Path) -> None:
    requirements = yaml.safe_load((context / "_build" / "requirements.yml").read_text(encoding="utf-8"))
    (given,) = (entry["name"] for entry in requirements["collections"] if entry.get("type") == "file")
    assert (context / "_build" / given).read_bytes() == artefact.read_bytes()


def test_the_image_gets_what_the_collection_says_that_it_needs(context: Path, artefact: Path, tmp_path: Path) -> None:
    assert "introspect.py introspect" in (context / "Containerfile").read_text(encoding="utf-8")
    # The checkout, which is installed where Ansible looks, would do for it.
    options = ("--offline", "--no-deps", "--force", "--collections-path", str(tmp_path))
    run("ansible-galaxy", "collection", "install", *options, str(artefact), cwd=tmp_path)
    found = yaml.safe_load(run("ansible-builder", "introspect", str(tmp_path), cwd=tmp_path))
    needed = [line for line in OWN.splitlines() if not line.startswith("#")]
    assert needed
    assert [entry.partition("  # ")[0] for entry in found["python"]] == needed
