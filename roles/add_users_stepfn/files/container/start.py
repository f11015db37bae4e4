# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the task's script over the staged file, beside which this lies; the container's command runs this.

What the script is told, a token among it, is put together here and given to a Python script within this process, so
that it stands neither in a task definition nor in a list of processes. What the script prints is kept from the log,
and from it only line numbers, outcomes and kinds of failures reach the receipt.

Needs Python 3.9 on Linux and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import runpy
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TextIO
from urllib.parse import quote, quote_plus

Settings = dict[str, Any]
Result = dict[str, Any]

SETTINGS = "TASK_SETTINGS"
RESULTS_PATH = "RESULTS_PATH"  # where a script that handles the whole file may write its results
_KEPT = 65536  # bytes of output that are looked at for the kind of a failure
_SHORTEST_SECRET = 4
_LEFT_OUT = "_"  # a letter for a regular expression, so that nothing beside it becomes a word
_TIME_OVER, _BAD_COMMAND = 124, 64
_EXCEPTION = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Timeout|Refused|Exit))\b", re.MULTILINE)
_STATUS = re.compile(r"\b([45]\d\d)\b")


class CommandError(Exception):
    """Why the script could not be started."""


def main() -> int:
    # The first process of a container is deaf to SIGTERM unless it says otherwise.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    settings: Settings = json.loads(os.environ.pop(SETTINGS))
    name = os.environ["TASK_NAME"]
    file = Path(os.environ["TASK_FILES"]) / name / "file"
    results = Path(os.environ["TASK_RESULTS"]) / name / "results.jsonl"
    deadline = time.monotonic() + settings["seconds"]
    counts: dict[str, int] = {}
    with results.open("w", encoding="utf-8", buffering=1) as out:
        run = over_lines if settings["run"] == "once_per_line" else over_file
        try:
            code = run(settings, file, out, counts, deadline)
        except CommandError as reason:
            say({"error": str(reason)})
            return _BAD_COMMAND
    say({"exit_code": code, **counts})
    return 1 if code != 0 or counts.get("failed") else 0


def over_lines(settings: Settings, file: Path, out: TextIO, counts: dict[str, int], deadline: float) -> int:
    """The script once for each line, so that each has its own outcome."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if time.monotonic() > deadline:
                return _TIME_OVER
            descriptor = os.memfd_create("line", 0)  # a file that is on no disk
            try:
                os.write(descriptor, line)
                code, output = script(settings, f"/proc/{os.getpid()}/fd/{descriptor}", deadline)
            finally:
                os.close(descriptor)
            record(settings, out, counts, {"line": number, **outcome(settings, code, output, values_of(line))})
    return 0


def over_file(settings: Settings, file: Path, out: TextIO, counts: dict[str, int], deadline: float) -> int:
    """The script once. It may say what became of each line by writing JSON lines to RESULTS_PATH."""
    told = os.memfd_create("results", 0)
    os.environ[RESULTS_PATH] = f"/proc/{os.getpid()}/fd/{told}"
    with os.fdopen(told, "rb", buffering=0) as results:
        rest = b""

        def take() -> None:
            nonlocal rest
            *whole, rest = (rest + results.read()).split(b"\n")
            for text in whole:
                result = checked(text.decode("utf-8", "replace"), contents_of(file))
                if result is not None:
                    record(settings, out, counts, result)

        code, output = script(settings, str(file), deadline, take)
        take()
        rest += b"\n"  # the last line may have no end
        take()
    if code != 0 and settings["log_output"] != "nothing":
        values = [value for content in contents_of(file).values() for value in values_of(content)]
        say({"error": failure(code, output, values)})
    return code


@cache
def contents_of(file: Path) -> dict[int, bytes]:
    """The lines by their numbers."""
    with file.open("rb") as lines:
        return dict(enumerate(lines, start=1))


def script(settings: Settings, file: str, deadline: float, take: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """The script's exit code and the last it printed. It cannot outlast the deadline. Meanwhile *take* is called."""
    words = [filled(word, file) for word in settings["command"]]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        become(words, writing)
    os.close(writing)
    output = listen(reading, deadline, take, show=settings["log_output"] == "all")
    os.close(reading)
    return ended(child, deadline), output.decode("utf-8", "replace")


def filled(word: str, file: str) -> str:
    """The word with {file} and each {NAME} of the environment put in."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "file":
            return file
        if name not in os.environ:
            raise CommandError(f"the command asks for {name}, which the container's environment does not have")
        return os.environ[name]

    return re.sub(r"\{(file|[A-Z_][A-Z0-9_]*)\}", value, word)


def become(words: list[str], writing: int) -> NoReturn:
    """In the child: a Python script runs in this very process, so that its arguments are in no list of processes."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        if not words[0].endswith(".py"):
            os.execvp(words[0], words)  # noqa: S606 - a list of words, without a shell
        sys.argv = words
        sys.path[0] = str(Path(words[0]).resolve().parent)
        runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(end.code)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code & 255)


def listen(reading: int, deadline: float, take: Callable[[], None], *, show: bool) -> bytes:
    """The last of what the child prints, until it closes its output or its time is over."""
    kept = b""
    while (left := deadline - time.monotonic()) > 0:
        # What is taken over every second is told even if this process is killed.
        take()
        if not select.select([reading], [], [], min(left, 1))[0]:
            continue
        piece = os.read(reading, _KEPT)
        if not piece:
            break
        if show:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        kept = (kept + piece)[-_KEPT:]
    return kept


def ended(child: int, deadline: float) -> int:
    """The child's exit code; what it started ends with it."""
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return _TIME_OVER


def outcome(settings: Settings, code: int, output: str, values: list[str]) -> Result:
    if code == 0:
        return {"result": "created"}
    output = without(output, values)
    if re.search(settings["exists"], output):
        return {"result": "exists"}
    return {"result": "failed", "reason": failure(code, output, values)}


def without(output: str, values: list[str]) -> str:
    """The output without what the script was told, in which somebody's number looks like a status."""
    told = {written for value in values if value for written in ways_of_writing(value)}
    long = {value for value in [*told, *os.environ.values()] if len(value) >= _SHORTEST_SECRET}
    for value in sorted(long, key=len, reverse=True):
        output = output.replace(value, _LEFT_OUT)
    for value in told - long:  # as a part of other words it is none of the line's
        output = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", _LEFT_OUT, output)
    return output


def ways_of_writing(value: str) -> set[str]:
    """As it is, as JSON and Python write it, and in an address."""
    return {
        value,
        json.dumps(value)[1:-1],
        repr(value)[1:-1],
        ascii(value)[1:-1],
        quote(value, safe=""),
        quote_plus(value),
    }


def failure(code: int, output: str, values: list[str]) -> str:
    """The kind of a failure, without a word of what the script said about anybody."""
    if code == _TIME_OVER:
        return "the time was over"
    kinds = ", ".join([*last_untold(_EXCEPTION, output, values), *last_untold(_STATUS, output, values)])
    return f"the script ended with exit code {code}" + (f" ({kinds})" if kinds else "")


def last_untold(pattern: re.Pattern[str], output: str, values: list[str]) -> list[str]:
    """The last of what is found that no value has in it, for it could come from there."""
    told = "\n".join(values)
    return [found for found in dict.fromkeys(reversed(pattern.findall(output))) if found not in told][:1]


def checked(text: str, contents: dict[int, bytes]) -> Result | None:
    """A result that the script wrote, without what the line itself holds; None when it is none."""
    try:
        found = json.loads(text)
        line, result, reason = found["line"], found["result"], str(found.get("reason") or "")[:200]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if line not in contents or result not in ("created", "exists", "failed"):
        return None
    if not reason:
        return {"line": line, "result": result}
    safe = "not told, as it repeats what is secret" if repeats(reason, contents[line]) else reason
    return {"line": line, "result": result, "reason": safe}


def repeats(reason: str, content: bytes) -> bool:
    """Whether the reason has a value of the line, or one of the container's own, in whatever way it is written."""
    values = [value for value in (*values_of(content), *os.environ.values()) if len(value) >= _SHORTEST_SECRET]
    written = {form.casefold() for value in values for form in ways_of_writing(value)}
    return any(form in reason.casefold() for form in written)


def values_of(content: bytes) -> list[str]:
    """What a line says of somebody, each value as text."""
    try:
        entry = json.loads(content)
    except ValueError:
        return re.split(r"[,;\s]+", content.decode("utf-8", "replace"))
    return list(texts_of(entry))


def texts_of(value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever JSON may hold
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts_of(part)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def record(settings: Settings, out: TextIO, counts: dict[str, int], result: Result) -> None:
    counts[result["result"]] = counts.get(result["result"], 0) + 1
    out.write(json.dumps(result) + "\n")
    if result["result"] == "failed" and settings["log_output"] != "nothing":
        say(result)


def say(what: Result) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
