# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a file of lines, by number and never by content."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._staged_lines import (
    Contract,
    Problem,
    lines_of,
    problems,
)
from hypothesis import given
from hypothesis import strategies as st

USERS = Contract(
    max_bytes=100_000,
    max_lines=100,
    required=("name", "password", "emailAddress", "role"),
    optional=("supplierId",),
    unique=("emailAddress",),
    allowed={"role": ("buyer", "supplier")},
)
ADA = {"name": "Ada", "password": "s3cret-of-ada", "emailAddress": "ada@example.gov.uk", "role": "buyer"}


def line(**changes: Any) -> bytes:  # noqa: ANN401 - any JSON value
    entry = {name: value for name, value in {**ADA, **changes}.items() if value is not ...}
    return json.dumps(entry).encode() + b"\n"


def reasons(content: bytes, contract: Contract = USERS) -> list[tuple[int, str]]:
    return [(problem.line, problem.reason) for problem in problems(content, contract)]


def test_lines_as_they_should_be_have_no_problem() -> None:
    second = line(emailAddress="grace@example.gov.uk", supplierId=7)
    assert reasons(line() + second) == []
    assert reasons(line() + second.rstrip()) == []  # whether the last line ends or not
    assert reasons(line().replace(b"\n", b"\r\n")) == []  # as Windows writes it


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (0, "the file is empty")),
        (b" \n\n", (0, "the file is empty")),
        (b"\xef\xbb\xbf" + line(), (1, "the file begins with a byte-order mark; save it as UTF-8 without one")),
        (line().decode().encode("utf-16"), (1, "the file begins with a byte-order mark; save it as UTF-8 without one")),
        (line() + b"\xff\xfe\n", (2, "is not UTF-8")),
        (line() + b"\n" + line(emailAddress="b@example.gov.uk"), (2, "is empty")),
        (b"{not JSON}\n", (1, "is not JSON")),
        (b'["a"]\n', (1, "is not a JSON object")),
        (b"[" * 100_000, (1, "is not JSON")),
        (b'{"name": "a", "name": "b"}\n', (1, "names a field twice")),
        (line(password=...), (1, "lacks the field password")),
        (line(shoeSize="45"), (1, "has a field that is not known")),
        (line(name=""), (1, "has no text in the field name")),
        (line(name=5), (1, "has no text in the field name")),
        (line(name="\ud800"), (1, "has no text in the field name")),
        (line(name="a\0b"), (1, "has no text in the field name")),
        (line(supplierId=True), (1, "has no text in the field supplierId")),
        (line(role="king"), (1, "has a value in the field role that is not one of buyer, supplier")),
        (line() + line(name="Ada 2", emailAddress="ADA@example.gov.uk "), (2, "has the same emailAddress as line 1")),
        (line() * 101, (0, "the file has more than 100 lines; hand it over in parts")),
        (b"x" * 100_001, (0, "the file is larger than 100000 bytes")),
    ],
)
def test_a_line_is_refused_for_what_is_wrong_with_it(content: bytes, expected: tuple[int, str]) -> None:
    assert reasons(content) == [expected]


def test_each_bad_line_is_named() -> None:
    assert [number for number, _ in reasons(b"{\n" + line() + b"}\n" + line(role=...))] == [1, 3, 4, 4]


def test_a_file_that_is_not_made_of_lines_is_only_measured() -> None:
    anything = Contract(max_bytes=10, max_lines=1)
    assert reasons(b"\xff\n\xfe\n", anything) == []
    assert reasons(b"12345678901", anything) == [(0, "the file is larger than 10 bytes")]
    assert reasons(b"", anything) == [(0, "the file is empty")]


@given(st.binary(max_size=400))
def test_any_bytes_get_an_answer_that_names_lines_of_the_file(content: bytes) -> None:
    number = len(lines_of(content))
    assert all(0 <= problem.line <= number for problem in problems(content, USERS))


@given(st.text(min_size=6, max_size=20, alphabet="qxzj0123456789"), st.sampled_from(["", "{", '"', "\xff"]))
def test_no_answer_repeats_a_value(secret: str, broken: str) -> None:
    content = line(password=secret, name=secret, role=secret, supplierId=secret) + f"{broken}{secret}\n".encode()
    assert secret not in str(problems(content, USERS))


@given(st.lists(st.emails(), unique_by=lambda text: text.strip().casefold(), min_size=1, max_size=5))
def test_valid_lines_are_accepted_whoever_they_name(addresses: list[str]) -> None:
    assert problems(b"".join(line(emailAddress=address) for address in addresses), USERS) == []


@given(st.data())
def test_one_damaged_line_is_the_one_that_is_named(data: st.DataObject) -> None:
    number = data.draw(st.integers(1, 6))
    content = [line(emailAddress=f"{place}@example.gov.uk") for place in range(6)]
    cut = data.draw(st.integers(1, len(content[number - 1]) - 2))
    content[number - 1] = content[number - 1][:cut] + b"\n"
    assert problems(b"".join(content), USERS) == [Problem(number, "is not JSON")]
