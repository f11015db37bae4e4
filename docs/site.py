# SPDX-License-Identifier: GPL-3.0-or-later
"""What mkdocs.yml adds to docs/: pages that lie elsewhere in the checkout, and the reference of modules and plugins.

Links stay as they are right in the checkout. In the site they lead to the page, or to the repository for what is no
page; one that leads nowhere is an error.
"""

from __future__ import annotations

import json
import logging
import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from antsibull_docs_parser.md import to_md
from antsibull_docs_parser.parser import Context, parse
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from pymdownx.superfences import fence_code_format

ROOT = Path(__file__).resolve().parent.parent
COLLECTION = "localgov.platform"
# Where a file of the checkout is in the site.
PAGES = {
    "README.md": "index.md",
    "sandbox/README.md": "sandbox.md",
    "files/frontend/README.md": "reference/frontend.md",
    "files/dagster/instance/README.md": "reference/dagster_instance.md",
    "files/dagster/code_server/README.md": "reference/pipeline.md",
    **{
        readme.relative_to(ROOT).as_posix(): f"reference/roles/{readme.parent.name}.md"
        for readme in sorted(ROOT.glob("roles/*/README.md"))
    },
}
# What draws the diagrams: its place in the checkout, put there by `tests/packages docs`, and in the site.
MERMAID = ROOT / "docs" / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"
MERMAID_URL = "assets/javascripts/mermaid.js"
SOURCES = {page: source for source, page in PAGES.items()}
# Known to mkdocs, which counts its warnings.
log = logging.getLogger("mkdocs.plugins.site")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let the theme draw the diagrams; it is said here, as YAML has no functions."""
    fence = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
    config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [fence]}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what does not lie in docs/ by itself."""
    if not MERMAID.is_file():
        raise PluginError(f"{MERMAID}, which draws the diagrams, is missing: run tests/packages docs.")
    files.append(File.generated(config, MERMAID_URL, abs_src_path=str(MERMAID)))
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    documented = _documented()
    modules = _pages("Modules", {"module": documented.pop("module")})
    plugins = _pages("Other plugins", {kind: documented[kind] for kind in sorted(documented)})
    for page, text in (("index", INDEX), ("modules", modules), ("plugins", plugins)):
        files.append(File.generated(config, f"reference/{page}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make the links of a page those of the site."""
    own = page.file.src_uri
    source = SOURCES.get(own, f"docs/{own}")

    def replaced(match: re.Match[str]) -> str:
        path, hash_sign, anchor = match[1].partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        in_site = PAGES.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(in_site):
            return f"]({posixpath.relpath(in_site, posixpath.dirname(own) or '.')}{hash_sign}{anchor})"
        if not (ROOT / target).exists():
            log.warning("%s links to %s, which does not exist", source, path)
        return f"]({config.repo_url}/blob/main/{target})"

    return re.sub(r"\]\(([^)\s]+)\)", replaced, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Load what draws the diagrams with the pages that have any; without it the theme asks another host for it."""
    if 'class="mermaid"' not in output:
        return output
    script = f'<script src="{get_relative_url(MERMAID_URL, page.url)}"></script>'
    if "</head>" not in output:
        log.warning("%s has no head to load the diagrams' script in", page.url)
    return output.replace("</head>", f"{script}</head>", 1)


INDEX = """\
# Reference

* Roles: what each keeps, its variables, and the permissions that the deployer needs.
* [Modules](modules.md) and [other plugins](plugins.md): what `ansible-doc` says of them.
* Programs that run in an account: frontend, Dagster instance, pipeline.
"""


def _documented() -> dict[str, dict[str, dict[str, Any]]]:
    """What `ansible-doc` knows of the collection: kind to full name to its documentation."""
    program = Path(sys.executable).parent / "ansible-doc"
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(
        [program, "--metadata-dump", "--no-fail-on-errors", COLLECTION],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(done.stdout)["all"]
    return {kind: plugins for kind, plugins in found.items() if plugins and kind not in ("keyword", "role")}


def _pages(title: str, kinds: dict[str, dict[str, dict[str, Any]]]) -> str:
    lines = [f"# {title}", ""]
    for kind, plugins in kinds.items():
        for name, plugin in sorted(plugins.items()):
            suffix = "" if kind == "module" else f" ({kind})"
            lines += [f"## {name.removeprefix(f'{COLLECTION}.')}{suffix}", "", *_plugin(plugin), ""]
    return "\n".join(lines)


def _plugin(plugin: dict[str, Any]) -> Iterator[str]:
    documentation = plugin["doc"]
    yield f"**{_text(documentation['short_description'])}**"
    for paragraph in _several(documentation["description"]):
        yield from ("", _text(paragraph))
    if documentation.get("options"):
        yield from ("", "| option | type | default | meaning |", "|---|---|---|---|")
        yield from _options(documentation["options"])
    if documentation.get("notes"):
        yield ""
        yield from (f"* {_text(note)}" for note in documentation["notes"])
    if plugin.get("examples"):
        yield from ("", "```yaml", plugin["examples"].strip(), "```")
    if plugin.get("return"):
        yield from ("", "| returned | type | meaning |", "|---|---|---|")
        for name, value in plugin["return"].items():
            yield f"| `{name}` | {value.get('type', '')} | {_cell(value['description'])} |"


def _options(options: dict[str, Any], within: str = "") -> Iterator[str]:
    for name, option in options.items():
        kind = f"list of {option['elements']}" if "elements" in option else option.get("type", "str")
        default = "required" if option.get("required") else _value(option.get("default"))
        chosen = f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}." if option.get("choices") else ""
        yield f"| `{within}{name}` | {kind} | {default} | {_cell(option['description'])}{chosen} |"
        yield from _options(option.get("suboptions") or {}, f"{within}{name}.")


def _value(default: object) -> str:
    return "" if default in (None, "", [], {}) else f"`{json.dumps(default)}`"


def _cell(paragraphs: str | list[str]) -> str:
    return " ".join(map(_text, _several(paragraphs))).replace("|", "\\|").replace("\n", " ")


def _several(paragraphs: str | list[str]) -> list[str]:
    return [paragraphs] if isinstance(paragraphs, str) else paragraphs


def _text(marked: str) -> str:
    """Ansible's markup as Markdown; of what it escapes, mkdocs knows some outside addresses, and nothing in them."""
    markdown = re.sub(r"\]\(([^)]*)\)", lambda link: link[0].replace("\\", ""), to_md(parse(marked, Context())))
    return re.sub(r"\\([^\w\s\\`*_{}\[\]()>#+.!-])", r"\1", markdown)
