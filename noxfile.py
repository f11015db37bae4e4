# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the collection by the names that antsibull-nox gives them; `nox -l` lists them.

Those of antsibull-nox.toml are its own. Those below it has too, but its own would be left out here, or let something
through: docs/decisions.md, 13.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import antsibull_nox
import nox

CHECKOUT = Path(__file__).resolve().parent
HOME = CHECKOUT / "build" / "galaxy"
TREE = HOME / "collections" / "ansible_collections"

# Nothing is installed for a session: programs are those of requirements.lock, beside nox itself.
nox.options.default_venv_backend = "none"
nox.options.envdir = "build/nox"
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["LC_ALL"] = "C.UTF-8"

antsibull_nox.load_antsibull_nox_toml()


@functools.cache
def artefact() -> Path:
    """What is built of this checkout, which also lies unpacked in TREE with its dependencies beside it."""
    shutil.rmtree(HOME / "collections", ignore_errors=True)
    for older in HOME.glob("*.tar.gz"):
        older.unlink()
    subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", str(HOME)],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (archive,) = HOME.glob("*.tar.gz")
    shutil.unpack_archive(archive, TREE / "localgov" / "platform")
    installed = Path(sysconfig.get_path("purelib"), "ansible_collections")
    for namespace in ("amazon", "community"):
        (TREE / namespace).mkdir()
        (TREE / namespace / "aws").symlink_to(installed / namespace / "aws")
    return archive


@nox.session(name="docs-check")
def docs_check(session: nox.Session) -> None:
    """Run 'antsibull-docs lint-collection-docs'; references are to this collection and its dependencies only."""
    # Git is not to take the installed collections for parts of this checkout that it ignores.
    session.run(
        "antsibull-docs",
        "lint-collection-docs",
        "--plugin-docs",
        "--skip-rstcheck",
        "--disallow-unknown-collection-refs",
        "--validate-collection-refs=dependent",
        ".",
        env={"GIT_CEILING_DIRECTORIES": str(CHECKOUT)},
    )


@nox.session(name="build-import-check")
def build_import_check(session: nox.Session) -> None:
    """Build the artefact, and have galaxy-importer import it without a warning."""
    # tests/lint/run has ansible-lint; ruff stands for flake8. Galaxy itself runs ansible-test in a container.
    settings = {"GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false", "GALAXY_IMPORTER_CHECK_REQUIRED_TAGS": "true"}
    archive = artefact()
    with session.chdir(HOME):
        command = ("python", "-m", "galaxy_importer.main", archive.name)
        log = str(session.run(*command, env={"HOME": str(HOME), **settings}, silent=True))
    if "WARNING" in log or "ERROR" in log:
        session.error(log)


@nox.session(name="ansible-test-sanity")
@nox.parametrize(
    "tests",
    [
        nox.param(["--skip-test", "pylint"], id="all but pylint"),
        # Other Python of the checkout is for ruff and mypy.
        nox.param(["--test", "pylint", "plugins/"], id="pylint of the plugins"),
    ],
)
def ansible_test_sanity(session: nox.Session, tests: list[str]) -> None:
    """Run ansible-test's sanity tests on the artefact, in environments that it makes below build/galaxy."""
    artefact()
    # It would fetch pip from a host of its own; Python brings one along.
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "get_pip_24_2.py").write_text("import ensurepip\n\nensurepip.bootstrap()\n", encoding="utf-8")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    with session.chdir(TREE / "localgov" / "platform"):
        # It tests what Git could see.
        session.run("git", "init", "--quiet", log=False)
        log = session.run(
            *("ansible-test", "sanity", "--color", "no", "--python", python, *tests),
            env={"HOME": str(HOME), "ANSIBLE_CONFIG": None, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            silent=True,
        )
    # What the machine has no program for, such as PowerShell's linter. Galaxy gets no file of that kind.
    for line in str(log).splitlines():
        if line.startswith("WARNING: Skipping"):
            session.log(line)


@nox.session
def changelog(session: nox.Session) -> None:
    """Run 'antsibull-changelog lint' on the changelog's fragments."""
    session.run("antsibull-changelog", "lint")
