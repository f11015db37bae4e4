# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sent to ECS tasks runs there, and fits."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils import _access_probe, _access_program
from ansible_collections.localgov.platform.plugins.module_utils._access_probe import MARK
from ansible_collections.localgov.platform.plugins.module_utils._access_program import (
    LIMIT,
    Container,
    programs,
    script,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

CONTAINER = Container("main", "eu-west-2", "http://127.0.0.1:9")
ROLE = "arn:aws:iam::012345670123:role/localgov-run-task"
TRIAL = {"resource": "arn:aws:s3:::shared", "action": "list_without_tls", "prefix": "a'b\"\\{{ c }}"}


def trials(count: int, prefix_bytes: int) -> list[tuple[int, dict[str, Any]]]:
    return [(number, {**TRIAL, "prefix": secrets.token_hex(prefix_bytes)}) for number in range(count)]


def test_the_program_needs_no_more_than_python_and_botocore(tmp_path: Path) -> None:
    """Without credentials, and where nothing listens, it says so for each trial."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfor name in ('ansible', 'ansible_collections', 'boto3'): sys.modules[name] = None\n",
        encoding="utf-8",
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    given = {"PYTHONPATH": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script(CONTAINER, [(7, TRIAL), (9, {**TRIAL, "action": "get"})])],
        env={**environment, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line.removeprefix(MARK)) for line in done.stdout.splitlines() if line.startswith(MARK)]
    assert [result[:2] for result in results] == [[7, "failed"], [9, "failed"]]
    assert all("NoCredentialsError" in result[2] for result in results)


def test_its_source_is_found_in_a_zip_archive_as_ansible_makes_one_of_modules(tmp_path: Path) -> None:
    collection = Path("ansible_collections/localgov/platform/plugins/module_utils")
    utils = Path(_access_probe.__file__).parent
    archive = tmp_path / "module.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for folder in (collection, *list(collection.parents)[:-1]):
            zipped.writestr(f"{folder}/__init__.py", "")
        for name in ("_access_probe.py", "_access_program.py", "_policy_resources.py"):
            zipped.write(utils / name, collection / name)
    code = (
        "from ansible_collections.localgov.platform.plugins.module_utils import _access_program as program;"
        "print(program.__file__, hash(0), len(program._source()))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(archive)!r}); {code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(archive) in done.stdout
    assert done.stdout.split()[-1] == str(len(_access_program._source()))


def test_what_only_people_read_is_not_sent() -> None:
    assert '"""' not in _access_program._source()
    assert "#" not in _access_program._source()
    (program,) = programs(ROLE, CONTAINER, [(0, {**TRIAL, "because": "a secret " * 100, "account": "camden"})])
    (bare,) = programs(ROLE, CONTAINER, [(0, TRIAL)])
    assert program == bare


@pytest.mark.parametrize(("count", "prefix_bytes"), [(1, 8), (120, 8), (60, 60), (300, 60)])
def test_every_trial_is_in_one_program_and_every_program_fits(count: int, prefix_bytes: int) -> None:
    made = programs(ROLE, CONTAINER, trials(count, prefix_bytes))
    assert [number for program in made for number in program.numbers] == list(range(count))
    assert max(len(json.dumps(program.overrides)) for program in made) <= LIMIT
    assert all(program.overrides["taskRoleArn"] == ROLE for program in made)
    assert (len(made) > 1) == (count * prefix_bytes > 3000)


def test_a_trial_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(RefusedError, match="8192 characters that RunTask allows: arn:aws:s3:::shared"):
        programs(ROLE, CONTAINER, trials(2, 4000))
