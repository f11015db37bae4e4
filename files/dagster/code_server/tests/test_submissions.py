# SPDX-License-Identifier: GPL-3.0-or-later
"""Which uploads a run is asked for, and when one is asked for again."""

from __future__ import annotations

from localgov_pipeline.lib.submissions import LONGEST_SECONDS, LOST_SECONDS, Agenda, Submission, Upload, agenda

UPLOAD = Upload(Submission("ssda903", 2026, "20260401t101500-aa"), "1")
START = 1_000_000.0


def looked(seconds: float, before: Agenda | None = None, heard: float = 0) -> Agenda:
    """A look at the one upload so long after the start, when so many seconds after the start something was heard."""
    return agenda([UPLOAD], "bucket", before.waiting if before else {}, START + seconds, START + heard)


def test_an_upload_is_asked_for_under_one_run_key_while_it_may_still_be_under_way() -> None:
    first = looked(0)
    later = looked(LOST_SECONDS, first)
    assert first.process == later.process == [(UPLOAD, 0)]
    assert later.waiting == first.waiting


def test_when_nothing_is_heard_it_is_asked_for_again_each_time_after_twice_as_long() -> None:
    asked: list[int] = []
    at, seen = 0.0, looked(0)
    while not seen.give_up:
        at += 10
        seen = looked(at, seen)
        if seen.process and seen.process[0][1] == len(asked) + 1:
            asked.append(round(at / LOST_SECONDS))
    assert asked == [1, 3, 7, 15]
    assert at < 32 * LOST_SECONDS + 600, "it is given up, and no file is tried for ever"


def test_while_others_are_heard_of_it_waits_its_turn() -> None:
    first = looked(0)
    assert looked(LONGEST_SECONDS, first, heard=LONGEST_SECONDS - 60).process == [(UPLOAD, 0)]
    assert looked(LONGEST_SECONDS + 1, first, heard=LONGEST_SECONDS).process == [(UPLOAD, 1)]


def test_a_sensor_that_was_away_itself_asks_once_more_before_it_gives_up() -> None:
    assert looked(100 * LONGEST_SECONDS, looked(0)).process == [(UPLOAD, 1)]


def test_what_has_its_report_is_forgotten() -> None:
    assert agenda([], "bucket", looked(0).waiting, START, START) == Agenda([], [], {}, [])


def test_of_the_second_time_on_the_operators_are_told_since_when_it_is_tried_and_each_time_once() -> None:
    told: list[tuple[int, float]] = []
    at, seen = 0.0, looked(0)
    while not seen.give_up:
        at += 10
        seen = looked(at, seen)
        told += [(waiting.again, waiting.since) for _, waiting in seen.overdue]
    assert told == [(2, START), (3, START), (4, START)], "what is given up is not told as tried again"
