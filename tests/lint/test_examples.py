# SPDX-License-Identifier: GPL-3.0-or-later
"""Examples of the documentation give options that there are, of their types.

Those of roles and modules are carried out by tests/integration/artefact/test_reuse.py, which says of which it cannot.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
COLLECTION = "localgov.platform"
READMES = [ROOT / "README.md", *sorted(ROOT.glob("roles/*/README.md")), *sorted(ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"ansible-playbook (?:-i \S+ )?playbooks/(\w+)\.yml([^\n`]*)")
# What an option of a module may say of itself, in the words of an argument specification.
KEPT = ("type", "elements", "choices", "required", "aliases")


def documented() -> dict[str, dict[str, dict[str, Any]]]:
    """Kind of plugin to full name to what `ansible-doc` says of it."""
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-doc", "--metadata-dump", "--no-fail-on-errors", COLLECTION],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(done.stdout)["all"]
    return {kind: plugins for kind, plugins in found.items() if kind != "keyword"}


DOCUMENTED = documented()
EXAMPLES = {
    name: yaml.safe_load(plugin["examples"])
    for kind, plugins in DOCUMENTED.items()
    if kind not in ("role", "callback", "connection", "inventory")
    for name, plugin in plugins.items()
}
VARIABLES = {
    variable: option
    for role in DOCUMENTED["role"].values()
    for entry in role["entry_points"].values()
    for variable, option in entry["options"].items()
}
ROLES = [name.removeprefix(f"{COLLECTION}.") for name in DOCUMENTED["role"]]


def specification(options: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {key: option[key] for key in KEPT if key in option}
        | ({"options": specification(option["suboptions"])} if option.get("suboptions") else {})
        for name, option in options.items()
    }


def faults(options: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """What is wrong with values; those that only a run would know are left out, but for their names."""
    known = {name for option, described in options.items() for name in (option, *described.get("aliases", []))}
    unknown = [f"{name} is no option" for name in given if name not in known]
    templated = {name for name, value in given.items() if isinstance(value, str) and "{{" in value}
    plain = {name: value for name, value in given.items() if name in known - templated}
    judged = {name: option for name, option in options.items() if name not in templated}
    errors: list[str] = ArgumentSpecValidator(specification(judged)).validate(plain).error_messages
    return unknown + errors


def calls(node: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every module of this collection that an example calls, with its options."""
    if isinstance(node, list):
        for entry in node:
            yield from calls(entry)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in DOCUMENTED["module"]:
                yield key, value or {}
            yield from calls(value)


def variables(node: object) -> Iterator[tuple[str, Any]]:
    """Every variable of a role that an example sets."""
    if isinstance(node, list):
        for entry in node:
            yield from variables(entry)
    elif isinstance(node, dict):
        for key, value in node.items():
            if isinstance(key, str) and key.startswith(tuple(f"{role}_" for role in ROLES)):
                yield key, value
            else:
                yield from variables(value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_plugin_are_tasks_with_options_that_there_are(name: str) -> None:
    tasks = EXAMPLES[name]
    assert [task["name"] for task in tasks]
    called = list(calls(tasks))
    assert (name in DOCUMENTED["module"]) == (name in dict(called))
    for module, options in called:
        assert faults(DOCUMENTED["module"][module]["doc"]["options"], options) == []
    for variable, value in variables(tasks):
        assert faults({variable: VARIABLES[variable]}, {variable: value}) == []


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_page_shows_as_yaml_sets_variables_that_there_are(path: Path) -> None:
    for block in BLOCK.findall(path.read_text(encoding="utf-8")):
        for name, value in variables(yaml.safe_load(block)):
            assert name in VARIABLES
            assert faults({name: VARIABLES[name]}, {name: value}) == []


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_page_shows_as_a_command_is_a_playbook_with_variables_and_tags_that_there_are(path: Path) -> None:
    shared = "".join(
        one.read_text() for folder in ("tasks", "group_vars") for one in (PLAYBOOKS / folder).glob("*.yml")
    )
    for name, arguments in COMMAND.findall(path.read_text(encoding="utf-8")):
        playbook = (PLAYBOOKS / f"{name}.yml").read_text(encoding="utf-8")
        given = re.findall(r"-e '?(?:\{\")?(\w+)", arguments)
        known = set(re.findall(r"\w+", playbook + shared)) | VARIABLES.keys()
        assert set(given) - known == set(), name
        for tag in re.findall(r"--tags (\w+)", arguments):
            assert f"tags: {tag}\n" in playbook, name


@pytest.mark.parametrize("role", ROLES)
def test_each_role_shows_an_example_that_has_what_it_requires(role: str) -> None:
    blocks = BLOCK.findall((ROOT / "roles" / role / "README.md").read_text(encoding="utf-8"))
    given = {name for block in blocks for name, _ in variables(yaml.safe_load(block))}
    options = DOCUMENTED["role"][f"{COLLECTION}.{role}"]["entry_points"]["main"]["options"]
    assert {name for name, option in options.items() if option.get("required")} <= given
    assert given
