# SPDX-License-Identifier: GPL-3.0-or-later
"""Small runs of what `make bench-pipeline` measures at full size, without pandas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from localgov_pipeline.lib.declarations import declared

PROJECT = Path(__file__).parent.parent


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": "src:."},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_work_and_memory_do_not_grow_faster_than_the_file(tmp_path: Path) -> None:
    result = tmp_path / "pipeline.json"
    arguments = [
        "--rows",
        "20000",
        "100000",
        "--children",
        "300",
        "--wrong",
        "2000",
        "--turns",
        "1",
        "--ways",
        "copy",
        "cleaning",
        "pipeline",
    ]
    outcome = run("benchmark", result, *arguments)
    assert outcome.returncode == 0, outcome.stderr
    figures = {figure["name"]: figure for figure in json.loads(result.read_text())}
    assert all(set(figure) == {"name", "value", "unit", "goal", "met"} for figure in figures.values())
    for way in ("cleaning", "pipeline"):
        growth = figures[f"{way}: CPU per row at 100,000 by that at 20,000 episodes"]
        assert growth["met"], growth
        assert figures[f"{way}, 100,000 episodes: peak memory"]["value"] < 500
    assert figures["CIN, 300 children: per CPU second"]["value"] > 100
    assert figures["pipeline, 2,000 episodes with most cells wrong: peak memory"]["value"] < 400
    assert all(figure["name"] in outcome.stdout for figure in figures.values())


# Of episodes, with ten wrong cells each: more than two hundred thousand errors are written in several parts, and more
# than two million would show in memory.
MANY = 200_000


@pytest.mark.parametrize("wrong", [20_000, pytest.param(MANY, marks=pytest.mark.slow)])
def test_however_many_errors_do_not_fill_memory_and_each_of_them_is_in_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    monkeypatch.syspath_prepend(str(PROJECT))
    from benchmark.invented import YEAR, write_ssda903

    write_ssda903(tmp_path, wrong, wrong=True)
    outcome = run("benchmark.measured", "pipeline", tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    if wrong == MANY:
        assert json.loads(outcome.stdout)["peak_mib"] < 600
    total = 0
    for name in ("header", "episodes"):
        rows = pl.read_csv(tmp_path / f"{name}.csv", infer_schema=False)
        columns = {
            column: rule for column, rule in declared("ssda903", YEAR).tables[name].columns.items() if column != "CHILD"
        }
        expected = sum(len(rows) if rule.mandatory else rows[column].count() for column, rule in columns.items())
        listed = pl.scan_csv(tmp_path / "pipeline" / name / "errors.csv").select(pl.len()).collect().item()
        assert listed == expected
        total += listed
    assert total > 10 * wrong


def test_the_page_says_of_each_goal_whether_it_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT))
    from benchmark.figures import Figure, Measured
    from benchmark.page import page

    missed, met = Figure("slow", 5.5, "times", "<= 4", False), Figure("small", 1200, "MiB", "<= 2048", True)
    ways = {
        "copy": Measured(2.0, 1.5, 300, {}),
        "pipeline": Measured(11.0, 7.0, 800, {"parsed": {"cpu": 3.0, "wall": 2.0}}),
    }
    results = {1_000_000: ways, 1000: {"copy": ways["copy"], "pandas": Measured(8.0, 9.0, 100, {})}}
    written = page([missed, met, Figure("without a goal", 1, "s")], results)
    assert "| slow | 5.5 times | <= 4 | **no** |" in written
    assert "| small | 1,200 MiB | <= 2048 | yes |" in written
    assert "| 1,000,000 | pipeline | 11.00 | 5.5 | 7.00 | 800 |" in written
    assert "| 1,000,000 | pandas | not measured |  |  |  |" in written
    assert "| parsed | 3.00 | 1.50 |" in written
    assert "without a goal" not in written
