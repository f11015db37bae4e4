# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the table of variables into each role's README, from its argument specification.

`python docs/role_variables.py` writes, `--check` only says which README is out of date (exit code 1).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent.parent / "roles"
BEGIN = "<!-- variables: generated from meta/argument_specs.yml by `make docs` -->"
END = "<!-- end of variables -->"


def variables_table(options: dict[str, dict[str, Any]], defaults: dict[str, Any]) -> str:
    """A Markdown section with a row for each option of a role's entry point; *defaults* are the role's own."""
    lines = ["## Variables", "", "| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in options.items():
        kind = f"list of {option['elements']}" if "elements" in option else option["type"]
        if choices := option.get("choices"):
            kind = ", ".join(f"`{choice}`" for choice in choices)
        default = "see `defaults/main.yml`" if defaults.get(name) and "default" not in option else _default(option)
        lines.append(f"| `{name}` | {kind} | {default} | {_markdown(option['description'])} |")
    return "\n".join(lines)


def _default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    default = option["default"]
    if isinstance(default, list):
        return ", ".join(f"`{item}`" for item in default) or "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return "none" if default == {} else f"`{default}`"


def _markdown(text: str | list[str]) -> str:
    """Ansible's C(), V() and O() markup as code; a list of paragraphs on one line."""
    joined = " ".join(text) if isinstance(text, list) else text
    for mark in "CVO":
        while f"{mark}(" in joined:
            before, _, rest = joined.partition(f"{mark}(")
            inner, _, after = rest.partition(")")
            joined = f"{before}`{inner}`{after}"
    return joined.replace("|", "\\|")


def with_table(readme: str, table: str) -> str:
    """The README with the part between its two marks replaced."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README has no marks '{BEGIN}' and '{END}'")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main(check: bool) -> int:
    """Write, or check, every role's README."""
    outdated = []
    for specification in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        readme = specification.parents[1] / "README.md"
        options = yaml.safe_load(specification.read_text())["argument_specs"]["main"]["options"]
        defaults = yaml.safe_load((specification.parents[1] / "defaults" / "main.yml").read_text())
        wanted = with_table(readme.read_text(), variables_table(options, defaults))
        if wanted == readme.read_text():
            continue
        outdated.append(readme)
        if not check:
            readme.write_text(wanted)
    for readme in outdated:
        sys.stdout.write(f"{'out of date, run `make docs`' if check else 'written'}: {readme}\n")
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
