# SPDX-License-Identifier: GPL-3.0-or-later
"""The receipt of an upload: what became of each line, by its number."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from staging.check import Findings
from staging.uploads import Upload

NO_FINDINGS: Findings = {"lines": 0, "problems": []}
_RESULTS = ("created", "exists", "failed")
_FIRST = 100  # problems for whoever wants no more than a glance
_REASON = 200
# What to do about lines of which nobody knows.
_NEXT = (
    "Lines that are unknown may have been worked on or not. Hand the same file over again, or those lines in a file of "
    "their own: who exists already is reported, and is no failure."
)
# The most that a receipt takes of a results file: far more than 10,000 lines need.
_MOST = 16_000_000


def read_findings(path: Path) -> Findings:
    """What the check has found, if it came to an end."""
    try:
        found: Findings = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return NO_FINDINGS
    return found


def read_results(path: Path) -> list[dict[str, Any]]:
    """What the task has written so far; a task that was killed may leave half a line."""
    try:
        with path.open("rb") as written:
            text = written.read(_MOST).decode("utf-8", "replace")
    except OSError:
        return []
    return [result for line in text.splitlines() if (result := _result(line)) is not None]


def _result(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("result") not in _RESULTS or type(found.get("line")) is not int:
        return None
    reason = {"reason": str(found["reason"])[:_REASON]} if found.get("reason") else {}
    return {"line": found["line"], "result": found["result"], **reason}


def compose(event: dict[str, Any], upload: Upload, findings: Findings, results: list[dict[str, Any]]) -> dict[str, Any]:
    """The receipt. *event* is what the workflow knows: began, execution, failure, cleaned."""
    problems = findings["problems"]
    lines = _lines(findings["lines"], problems, results)
    failure = event.get("failure") or {}
    failed = bool(failure.get("error")) or not event.get("cleaned")
    counts = Counter(line["result"] for line in lines)
    in_doubt = failed and counts["unknown"] and failure.get("step") != "Validate"
    return {
        "receipt": 1,
        "status": "failed" if failed else "succeeded",
        **({"failure": _failure(failure, cleaned=bool(event.get("cleaned")))} if failed else {}),
        **({"next": _NEXT} if in_doubt else {}),
        "upload": {"bucket": upload.bucket, "key": upload.key, "version": upload.version, "bytes": upload.size},
        "began": event.get("began"),
        "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "execution": event.get("execution"),
        "image": os.environ["IMAGE"],
        "cleaned": bool(event.get("cleaned")),
        "counts": {"lines": len(lines), **{name: counts.get(name, 0) for name in (*_RESULTS, "refused", "unknown")}},
        "refused": {"count": len(problems), "first": problems[:_FIRST]},
        "lines": lines,
    }


def _lines(number: int, problems: list[dict[str, Any]], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each line once. One that the task says nothing of was refused, or is unknown."""
    reasons: dict[int, list[str]] = {}
    for problem in problems:
        reasons.setdefault(problem["line"], []).append(problem["reason"])
    known = {line: {"result": "refused", "reason": "; ".join(told)} for line, told in reasons.items()}
    known |= {result["line"]: {key: result[key] for key in ("result", "reason") if key in result} for result in results}
    return [{"line": line, **known.get(line, {"result": "unknown"})} for line in range(1, number + 1)]


def _failure(failure: dict[str, Any], *, cleaned: bool) -> dict[str, str]:
    if not failure.get("error") and not cleaned:
        return {"step": "CleanUp", "error": "ResidueLeft", "reason": "not all could be removed; the sweeper goes on"}
    return {
        "step": str(failure.get("step") or ""),
        "error": str(failure["error"]),
        "reason": reason_of(str(failure.get("cause") or "")),
    }


def reason_of(cause: str) -> str:
    """The part of a cause that a person can use: why ECS stopped the task, or what a function said."""
    try:
        found = json.loads(cause)
    except ValueError:
        return _short(cause)
    if not isinstance(found, dict):
        return ""
    if "errorMessage" in found:
        return _short(str(found["errorMessage"]))
    codes = [container.get("ExitCode") for container in found.get("Containers") or []]
    exits = ", ".join(f"exit code {code}" for code in codes if code is not None)
    return _short("; ".join(filter(None, (str(found.get("StoppedReason") or ""), exits))))


def _short(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:500]


def as_text(receipt: dict[str, Any]) -> str:
    """A line of text for each line of the file, so that a person can read and search it."""
    lines = receipt["lines"]
    head = json.dumps({**receipt, "lines": []}, indent=2, ensure_ascii=False)
    if not lines:
        return head + "\n"
    body = ",\n".join(f"    {json.dumps(line, ensure_ascii=False)}" for line in lines)
    return head.removesuffix("[]\n}") + f"[\n{body}\n  ]\n}}\n"
