# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/images.yml: what it pushes, what every account then runs, and what a limit leaves alone."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.settings import ROOT
from tests.integration.images.conftest import IMAGES
from tests.sandbox.conftest import Sandbox
from tests.unit.plugins.module_utils.layouts import write_layout

ACCOUNTS = {"hub", "camden", "croydon", "sutton"}
Playbook = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def layouts(tmp_path: Path) -> Path:
    for name in IMAGES:
        write_layout(tmp_path / "layouts" / name, [name.encode(), tmp_path.name.encode()])
    return tmp_path / "layouts"


@pytest.fixture
def repositories(sandbox: Sandbox) -> Iterator[None]:
    ecr = sandbox.client("ecr", sandbox.deployer("hub"))
    for name in IMAGES:
        ecr.create_repository(repositoryName=f"localgov/{name}", imageTagMutability="IMMUTABLE")
    yield
    for name in IMAGES:
        ecr.delete_repository(repositoryName=f"localgov/{name}", force=True)


def wanted(layouts: Path) -> dict[str, str]:
    return {name: json.loads((layouts / name / "index.json").read_bytes())["manifests"][0]["digest"] for name in IMAGES}


def known(folder: Path) -> dict[str, dict[str, str]]:
    """What each account of the run runs."""
    return {path.stem: json.loads(path.read_bytes()) for path in folder.glob("*.digests")}


def changes(run: subprocess.CompletedProcess[str]) -> dict[str, int]:
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    return {
        host: int(count) for host, count in re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", run.stdout, re.MULTILINE)
    }


def given(layouts: Path) -> tuple[str, str]:
    return "-e", f"platform_image_layouts={layouts}"


@pytest.mark.usefixtures("repositories")
def test_all_images_are_pushed_once_and_every_account_knows_them_by_digest(
    playbook: Playbook, layouts: Path, tmp_path: Path
) -> None:
    assert changes(playbook(*given(layouts), "--check")) == {**dict.fromkeys(ACCOUNTS, 0), "hub": 1}
    assert changes(playbook(*given(layouts))) == {**dict.fromkeys(ACCOUNTS, 0), "hub": 1}
    assert known(tmp_path) == dict.fromkeys(ACCOUNTS, wanted(layouts))
    assert changes(playbook(*given(layouts))) == dict.fromkeys(ACCOUNTS, 0)


def test_a_rehearsal_before_there_is_a_repository_foresees_the_digests(
    playbook: Playbook, layouts: Path, tmp_path: Path
) -> None:
    assert changes(playbook(*given(layouts), "--check"))["hub"] == 1
    assert known(tmp_path) == dict.fromkeys(ACCOUNTS, wanted(layouts))


@pytest.mark.usefixtures("repositories")
def test_a_limit_asks_the_registry_and_pushes_nothing(playbook: Playbook, layouts: Path, tmp_path: Path) -> None:
    refused = playbook(*given(layouts), "--limit", "camden")
    assert refused.returncode != 0
    assert "is not in the registry of hub. Push it: ansible-playbook playbooks/images.yml" in " ".join(
        refused.stdout.split()
    )
    changes(playbook(*given(layouts)))
    assert changes(playbook(*given(layouts), "--limit", "camden")) == {"camden": 0}
    assert known(tmp_path) == {"camden": wanted(layouts)}


@pytest.mark.usefixtures("repositories")
def test_without_layouts_at_hand_a_limit_takes_what_the_last_whole_run_ran(
    playbook: Playbook, layouts: Path, tmp_path: Path
) -> None:
    nothing_here = _inventory_without_layouts(tmp_path)
    refused = playbook("--limit", "camden", inventory=nothing_here)
    assert "The registry of hub has no image frontend" in " ".join(refused.stdout.split())
    changes(playbook(*given(layouts)))
    assert changes(playbook("--limit", "camden,sutton", inventory=nothing_here)) == {"camden": 0, "sutton": 0}
    assert known(tmp_path) == dict.fromkeys(("camden", "sutton"), wanted(layouts))
    # Other content is pushed, and then the former comes back, which pushes nothing.
    other = tmp_path / "other"
    for name in IMAGES:
        write_layout(other / name, [name.encode(), b"other"])
    changes(playbook(*given(other)))
    assert changes(playbook(*given(layouts)))["hub"] == 1
    assert changes(playbook(*given(layouts)))["hub"] == 0
    changes(playbook("--limit", "camden", inventory=nothing_here))
    assert known(tmp_path)["camden"] == wanted(layouts)


def test_digests_that_the_inventory_pins_are_run_and_nothing_is_asked(playbook: Playbook, tmp_path: Path) -> None:
    pinned = dict.fromkeys(IMAGES, f"sha256:{'1' * 64}")
    assert changes(playbook("-e", json.dumps({"platform_image_digests": pinned}))) == dict.fromkeys(ACCOUNTS, 0)
    assert known(tmp_path) == dict.fromkeys(ACCOUNTS, pinned)


@pytest.mark.usefixtures("repositories")
@pytest.mark.parametrize("engine", ["docker", "buildah"])
def test_with_an_engine_the_images_are_built_by_it_and_pushed_from_its_archives(
    playbook: Playbook, layouts: Path, tmp_path: Path, engine: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / engine).write_text(ENGINE.format(layouts=layouts, calls=tmp_path / "calls"), encoding="utf-8")
    (programs / engine).chmod(0o755)
    options = ["-e", "platform_images_build=engine", "-e", f"platform_images_engine={engine}"]
    options += ["-e", f"platform_images_archives={tmp_path / 'archives'}"]
    path = f"{programs}:/usr/local/bin:/usr/bin:/bin"
    assert changes(playbook(*options, PATH=path)) == {**dict.fromkeys(ACCOUNTS, 0), "hub": 1}
    assert changes(playbook(*options, PATH=path)) == dict.fromkeys(ACCOUNTS, 0)
    assert known(tmp_path) == dict.fromkeys(ACCOUNTS, wanted(layouts))
    calls = (tmp_path / "calls").read_text(encoding="utf-8")
    assert f"{ROOT}/playbooks/../files/dagster/instance" in calls
    assert "--target daemon" in calls
    assert "AWS_SESSION_TOKEN" not in calls


def _inventory_without_layouts(folder: Path) -> Path:
    """The sandbox's inventory as one that says nothing of layouts."""
    copied = folder / "inventory"
    copied.mkdir()
    for path in (ROOT / "inventories" / "sandbox").rglob("*.yml"):
        target = copied / path.relative_to(ROOT / "inventories" / "sandbox")
        target.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        target.write_text("".join(line for line in lines if "platform_image_layouts" not in line), encoding="utf-8")
    return copied


# Stands in for an engine, which the tests' machine need not have: writes the archive that its arguments ask for, and
# like the engines' own command lines takes no option that it does not know.
ENGINE = """\
#!/usr/bin/env python3
import argparse, os, re, sys, tarfile
with open("{calls}", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + " " + " ".join(sorted(os.environ)) + "\\n")
options = dict(
    buildx_build="platform target build-arg provenance output",
    build="platform target build-arg timestamp tag",
    push="",
)
words = sys.argv[1:]
command = "_".join(words[:2]) if words[0] == "buildx" else words[0]
parser = argparse.ArgumentParser(allow_abbrev=False)
for option in options[command].split():
    parser.add_argument("--" + option, action="append", default=[])
if command == "build":
    parser.add_argument("--layers", action="store_true")
parser.add_argument("places", nargs=2 if command == "push" else 1)
given = parser.parse_args(words[2 if command == "buildx_build" else 1:])
if command != "push":
    assert os.path.isdir(given.places[0]), given.places
target = " ".join(given.output if command == "buildx_build" else given.places)
archive = re.search(r"(?:dest=|oci-archive:)(\\S+/([a-z-]+)\\.tar)", target)
if archive:
    with tarfile.open(archive[1], "w") as opened:
        opened.add("{layouts}/" + archive[2], ".")
"""
