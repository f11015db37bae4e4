# SPDX-License-Identifier: GPL-3.0-or-later
"""What leaves the local authority: pseudonyms, degraded values, notes, and nothing at all in doubt."""

from __future__ import annotations

import hashlib
import hmac

import polars as pl
import pytest
from localgov_pipeline.lib.cleaning import clean
from localgov_pipeline.lib.declarations import Table, declared
from localgov_pipeline.lib.pseudonyms import KeyMissingError, Keys, Pseudonymiser, keys_from
from localgov_pipeline.lib.sharing import SharingError, notes, shared_table

OWN, LINKING = b"the key of one authority, and no other's", b"the key that authorities share with others"
KEYS = Keys(OWN)
HEADER = {"CHILD": "TEST0001", "SEX": "M", "DOB": "05/03/2012", "ETHNIC": "WBRI", "UPN": "TESTUPN1", "MOTHER": "0"}
EPISODE = {"CHILD": "TEST0001", "DECOM": "04/04/2025", "HOME_POST": "ZZ99 3AA"}


def cleaned(name: str, *rows: dict[str, str], year: int = 2026) -> tuple[pl.LazyFrame, Table]:
    table = declared("ssda903", year).tables[name]
    cells = {column: [row.get(column) for row in rows] for column in table.columns}
    given = pl.LazyFrame({"row": range(2, len(rows) + 2), **cells}, schema_overrides={"row": pl.UInt32})
    return clean(given.cast(dict.fromkeys(table.columns, pl.String)), table).rows, table


def shared(name: str, *rows: dict[str, str], keys: Keys = KEYS) -> pl.DataFrame:
    return shared_table(*cleaned(name, *rows), "regional", keys).collect()


def test_each_column_leaves_in_its_declared_form_and_the_others_stay() -> None:
    pseudonym = hmac.new(OWN, b"child\0TEST0001", hashlib.sha256).hexdigest()[:32]
    assert shared("header", HEADER).to_dicts() == [
        {"CHILD": pseudonym, "SEX": "M", "DOB": "2012-03", "ETHNIC": "WBRI", "MOTHER": "0", "MC_DOB": None}
    ]
    (episode,) = shared("episodes", EPISODE).to_dicts()
    assert episode["CHILD"] == pseudonym
    assert episode["HOME_POST"] == "ZZ99 3"
    assert "URN" not in episode


def test_one_child_has_one_pseudonym_in_all_tables_and_years_of_an_authority_and_another_elsewhere() -> None:
    there = [
        shared_table(*cleaned(name, {"CHILD": "TEST0001"}, year=year), "regional", KEYS).collect()["CHILD"].item()
        for name, year in (("header", 2018), ("episodes", 2018), ("oc2", 2026), ("social_worker", 2026))
    ]
    assert len(set(there)) == 1
    elsewhere = shared("header", HEADER, keys=Keys(b"another authority's key, as long as this"))
    assert elsewhere["CHILD"].item() != there[0]


def test_with_a_linking_key_the_same_child_has_the_same_pseudonym_in_every_authority_that_has_it() -> None:
    one = shared("header", HEADER, keys=Keys(OWN, LINKING))
    other = shared("header", HEADER, keys=Keys(b"another authority's key, as long as this", LINKING))
    assert one["CHILD"].item() == other["CHILD"].item()
    assert one["CHILD"].item() != shared("header", HEADER)["CHILD"].item()


def test_a_profile_that_does_not_link_has_the_authoritys_own_pseudonyms_whatever_keys_there_are() -> None:
    rows, table = cleaned("header", HEADER)
    unlinked = {"regional": table.profiles["regional"].model_copy(update={"linked": False})}
    own = shared_table(rows, table.model_copy(update={"profiles": unlinked}), "regional", Keys(OWN, LINKING)).collect()
    assert own["CHILD"].item() == shared("header", HEADER)["CHILD"].item()


def test_rows_keep_their_order_and_blank_cells_stay_blank() -> None:
    values = pl.Series(["B", "B", None, "A", "B", None])
    found = Pseudonymiser(OWN, "child")(values).to_list()
    assert [value is None for value in found] == [False, False, True, False, False, True]
    assert found[0] == found[1] == found[4] != found[3]


@pytest.mark.parametrize("length", [32, 64, 65, 200])
def test_pseudonyms_are_those_of_any_other_hmac_whatever_the_length_of_the_key(length: int) -> None:
    key = bytes(range(length))
    wanted = hmac.new(key, "child\0Zoë".encode(), hashlib.sha256).digest()[:16].hex()
    assert Pseudonymiser(key, "child")(pl.Series(["Zoë"])).to_list() == [wanted]


def test_keys_come_from_the_environment_as_hexadecimal_digits_or_text_and_are_never_shown() -> None:
    text = "a key that is used by tests, and by nobody else"
    assert keys_from({"PSEUDONYM_KEY": "ab" * 32}) == Keys(b"\xab" * 32, None)
    keys = keys_from({"PSEUDONYM_KEY": f"{text}\n", "LINKING_KEY": "cd" * 32})
    assert keys == Keys(text.encode(), b"\xcd" * 32)
    for shown in (repr(keys), str(keys), f"{keys}", f"{(keys,)!r}"):
        assert "nobody" not in shown
    rows, table = cleaned("header", HEADER)
    plan = shared_table(rows, table, "regional", Keys(text.encode()))
    assert "nobody" not in plan.explain()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "PSEUDONYM_KEY is missing"),
        ({"PSEUDONYM_KEY": "short"}, "PSEUDONYM_KEY is too short"),
        ({"PSEUDONYM_KEY": "x" * 32, "LINKING_KEY": "short"}, "LINKING_KEY is too short"),
        ({"PSEUDONYM_KEY": "x" * 32, "LINKING_KEY": "x" * 32}, "the same"),
    ],
)
def test_a_key_that_is_no_key_stops_everything_and_is_not_repeated(environment: dict[str, str], said: str) -> None:
    with pytest.raises(KeyMissingError, match=said) as caught:
        keys_from(environment)
    assert not any(value in str(caught.value) for value in ("short'", "x" * 32))


def test_nothing_comes_out_in_doubt() -> None:
    rows, table = cleaned("header", HEADER)
    damaged = {
        "unknown profile": (rows, table, "national"),
        "column missing": (rows.drop("ETHNIC"), table, "regional"),
        "not cleaned": (rows.with_columns(pl.col("ETHNIC").cast(pl.String)), table, "regional"),
        "codes of another year": (cleaned("header", HEADER, year=2024)[0], table, "regional"),
        "date as text": (rows.with_columns(pl.col("DOB").cast(pl.String)), table, "regional"),
    }
    for what, arguments in damaged.items():
        with pytest.raises(SharingError) as caught:
            shared_table(*arguments, KEYS)
        assert "TEST0001" not in str(caught.value), what


@pytest.mark.parametrize(
    ("column", "form"), [("ETHNIC", "month"), ("UPN", "unchanged"), ("DOB", "sector"), ("SEX", "x")]
)
def test_a_form_that_does_not_fit_its_column_stops_everything(column: str, form: str) -> None:
    """As if the check of the declarations had a gap."""
    rows, table = cleaned("header", HEADER)
    bent = table.columns[column].model_copy(update={"share": {"regional": form}})
    columns = {**table.columns, column: bent}
    with pytest.raises(SharingError, match=column):
        shared_table(rows, table.model_copy(update={"columns": columns}), "regional", KEYS)


def test_a_profile_that_shares_nothing_of_a_table_makes_no_empty_file() -> None:
    rows, table = cleaned("header", HEADER)
    closed = {
        name: column.model_copy(update={"share": {"regional": "never"}}) for name, column in table.columns.items()
    }
    with pytest.raises(SharingError, match="shares nothing"):
        shared_table(rows, table.model_copy(update={"columns": closed}), "regional", KEYS)


def test_small_numbers_are_noted_and_no_value_is_repeated() -> None:
    few = [{**HEADER, "CHILD": f"TEST{number}"} for number in range(3)]
    many = [{**HEADER, "CHILD": f"TEST{number}"} for number in range(5)]
    assert notes(*cleaned("header", *few), "regional")[0] == "header: fewer than 5 rows in all."
    assert notes(*cleaned("header", *many), "regional") == []
    rare = {**HEADER, "ETHNIC": "WROM"}
    (note,) = notes(*cleaned("header", *many, rare), "regional")
    assert note == "header, ETHNIC: one code stands in fewer than 5 rows. Publish no count below 5."
