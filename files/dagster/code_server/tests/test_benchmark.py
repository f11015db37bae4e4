# SPDX-License-Identifier: GPL-3.0-or-later
"""A small run of what `make bench-pipeline` measures at full size, without pandas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def test_work_and_memory_do_not_grow_faster_than_the_file(tmp_path: Path) -> None:
    result = tmp_path / "pipeline.json"
    arguments = [
        "--rows",
        "20000",
        "100000",
        "--children",
        "300",
        "--turns",
        "1",
        "--ways",
        "copy",
        "cleaning",
        "pipeline",
    ]
    outcome = subprocess.run(
        [sys.executable, "-m", "benchmark", result, *arguments],
        env={**os.environ, "PYTHONPATH": "src:."},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    figures = {figure["name"]: figure for figure in json.loads(result.read_text())}
    assert all(set(figure) == {"name", "value", "unit", "goal", "met"} for figure in figures.values())
    for way in ("cleaning", "pipeline"):
        growth = figures[f"{way}: CPU per row at 100,000 by that at 20,000 episodes"]
        assert growth["met"], growth
        assert figures[f"{way}, 100,000 episodes: peak memory"]["value"] < 500
    assert figures["CIN, 300 children: per CPU second"]["value"] > 100
    assert all(figure["name"] in outcome.stdout for figure in figures.values())
