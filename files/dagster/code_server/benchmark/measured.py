# SPDX-License-Identifier: GPL-3.0-or-later
"""One way through the same files, in a process of its own: `python -m benchmark.measured <way> <folder>`.

Prints CPU and wall seconds of the work itself, and the peak of the process's memory with all that it has loaded.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from localgov_pipeline.lib import outputs
from localgov_pipeline.lib.checks import check
from localgov_pipeline.lib.cleaning import clean, counted, sink
from localgov_pipeline.lib.declarations import declared
from localgov_pipeline.lib.pseudonyms import Keys
from localgov_pipeline.lib.reading import ParsedTable, read
from localgov_pipeline.lib.sharing import notes, shared_table

from benchmark.invented import YEAR

TABLES = ("header", "episodes")
PROFILE = "regional"
KEYS = Keys(b"a key that is used by benchmarks, and by nobody else")


class Stopwatch:
    """CPU and wall seconds by step."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, float]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        spent = self.steps.setdefault(name, {"cpu": 0.0, "wall": 0.0})
        spent["cpu"] += time.process_time() - cpu
        spent["wall"] += time.perf_counter() - wall


def copy(folder: Path, watch: Stopwatch) -> None:
    """The least that can be done: read the files as text and write them again."""
    for name in TABLES:
        with watch.step("read and write"):
            pl.read_csv(folder / f"{name}.csv", infer_schema=False).write_csv(folder / "copy.csv")


def cleaning(folder: Path, watch: Stopwatch) -> None:
    """From the file to the cleaned file and the list of its errors."""
    dataset = declared("ssda903", YEAR)
    for name in TABLES:
        out = _made(folder / "cleaning" / name)
        with watch.step("clean"):
            (parsed,) = read(folder / f"{name}.csv", dataset, out)
            rows = _clean(parsed, out)
            outputs.write_result(rows, parsed.table, out / "rows.csv")


def pipeline(folder: Path, watch: Stopwatch) -> None:
    """What the stages do from the upload to what is shared of it, but for the buckets: each of one table goes from one
    to the next in files, as in a run."""
    dataset = declared("ssda903", YEAR)
    outs = {name: _made(folder / "pipeline" / name) for name in TABLES}
    for name, out in outs.items():
        table = dataset.tables[name]
        with watch.step("uploaded"):
            outputs.digest(folder / f"{name}.csv")
        with watch.step("parsed"):
            (parsed,) = read(folder / f"{name}.csv", dataset, out)
        with watch.step("cleaned"):
            _clean(parsed, out)
            counted(parsed.rows, table, out / "rows.parquet", out / "errors.parquet")
    tables = {name: pl.scan_parquet(out / "rows.parquet") for name, out in outs.items()}
    errors = {name: pl.scan_parquet(out / "errors.parquet") for name, out in outs.items()}
    with watch.step("checked"):
        check(tables, dataset, dict.fromkeys(TABLES, 1000), {}, errors=errors)
    for name, out in outs.items():
        table = dataset.tables[name]
        with watch.step("result"):
            outputs.write_result(tables[name], table, out / "rows.csv")
            outputs.labelled(errors[name], name).sink_csv(out / "errors.csv")
        with watch.step("pseudonymised"):
            paths = outputs.write_shared(shared_table(tables[name], table, PROFILE, KEYS), table, out)
            notes(tables[name], table, PROFILE)
        with watch.step("shared"):
            for path in paths.values():
                outputs.digest(path)
    with watch.step("report"):
        outputs.errors_of(pl.concat([outputs.labelled(errors[name], name) for name in TABLES]))


def pandas(folder: Path, watch: Stopwatch) -> None:
    """The same rules, outputs and checks in plain pandas, but for parquet."""
    from benchmark import plain_pandas

    dataset = declared("ssda903", YEAR)
    outs = {name: _made(folder / "pandas" / name) for name in TABLES}
    for name, out in outs.items():
        with watch.step("cleaned"):
            kept = plain_pandas.clean(folder / f"{name}.csv", dataset.tables[name], out)
        with watch.step("shared"):
            plain_pandas.share(kept, dataset.tables[name], out, PROFILE)
    with watch.step("checked"):
        plain_pandas.check(outs, dataset)


def cin(folder: Path, watch: Stopwatch) -> None:
    """From the XML file to cleaned tables of events and what is shared of them."""
    dataset = declared("cin", YEAR)
    out = _made(folder / "cin")
    with watch.step("CIN"):
        for parsed in read(folder / "cin.xml", dataset, out):
            rows = _clean(parsed, _made(out / parsed.table.name))
            outputs.write_shared(shared_table(rows, parsed.table, PROFILE, KEYS), parsed.table, out)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _clean(parsed: ParsedTable, out: Path) -> pl.LazyFrame:
    sink(clean(parsed.rows, parsed.table), out / "rows.parquet", out / "errors.parquet")
    return pl.scan_parquet(out / "rows.parquet")


WAYS: dict[str, Callable[[Path, Stopwatch], None]] = {
    "copy": copy,
    "cleaning": cleaning,
    "pipeline": pipeline,
    "pandas": pandas,
    "cin": cin,
}


def main(way: str, folder: Path) -> None:
    watch = Stopwatch()
    WAYS[way](folder, watch)
    sys.stdout.write(json.dumps({"steps": watch.steps, "peak_mib": peak_mib()}) + "\n")


def peak_mib() -> float:
    """Of this program alone: `getrusage` also counts what the process was before it became this program."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
