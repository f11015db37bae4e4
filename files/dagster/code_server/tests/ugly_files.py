# SPDX-License-Identifier: GPL-3.0-or-later
"""The library of ugly files: what people really upload, and what becomes of each. Every child in it is invented.

A line of the table is a file's name (what is ugly about it), its content, and its outcome: what is told about it as
(row, column, rule). `PLANTED` stands for what must never be repeated to anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import broken_archives as archives
import workbooks

Place = tuple[int | None, str | None, str]
PLANTED = "Hernandez"
HEADER = "CHILD,SEX,DOB,ETHNIC,UPN,MOTHER,MC_DOB"
ROW = "TEST0001,M,05/03/2012,WBRI,TESTUPN0001,,"
OTHER = "TEST0002,F,06/04/2007,AIND,TESTUPN0002,1,07/05/2025"
GOOD = f"{HEADER}\n{ROW}\n{OTHER}\n"
EPISODES = "CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC,REASON_PLACE_CHANGE,HOME_POST,PL_POST,URN"
EPISODE = "TEST0001,01/04/2025,S,C2,N1,U1,PR1,,,,SW1A 2AA,M1 1AE,SC123456"


class Accepted(NamedTuple):
    """`rows` by table, after cleaning; `notices` say what was read in another way; `errors` are blanked cells;
    `warnings` are the checks that do not hold, or cannot be made yet."""

    rows: dict[str, int]
    notices: tuple[Place, ...] = ()
    errors: tuple[Place, ...] = ()
    warnings: tuple[str, ...] = ()


class Refused(NamedTuple):
    findings: tuple[Place, ...]
    words: str


class Ugly(NamedTuple):
    name: str
    content: bytes | Callable[[], bytes]
    outcome: Accepted | Refused
    dataset: str = "ssda903"


def text(content: str, encoding: str = "utf-8") -> bytes:
    return content.encode(encoding)


def with_cell(column: str, written: str) -> bytes:
    """A good file whose second row has this cell."""
    cells = dict(zip(HEADER.split(","), OTHER.split(","), strict=True)) | {column: written}
    return text(f"{HEADER}\n{ROW}\n{','.join(cells.values())}\n")


def whole(rule: str, words: str) -> Refused:
    return Refused(((None, None, rule),), words)


def at(row: int, rule: str, words: str) -> Refused:
    return Refused(((row, None, rule),), words)


TWO = Accepted({"header": 2})
# Not checked yet, as the header is in another file.
WITHOUT_HEADER = ("episodes_have_a_header",)


def noticed(*notices: tuple[int | None, str], rows: int = 2) -> Accepted:
    return Accepted({"header": rows}, tuple((row, None, rule) for row, rule in notices))


def wrong(column: str, rule: str, row: int = 3, rows: int = 2) -> Accepted:
    """In a file of so few rows one cell is enough for the checks to warn of its column."""
    of_codes = ("codes_are_known",) if rule.startswith("code") else ()
    of_needed = ("needed_cells_are_filled",) if column in ("SEX", "DOB", "ETHNIC", "UPN") else ()
    return Accepted({"header": rows}, errors=((row, column, rule),), warnings=of_codes + of_needed)


ENCODINGS = [
    Ugly("byte-order mark", b"\xef\xbb\xbf" + text(GOOD), TWO),
    Ugly("UTF-16, as Excel's Unicode text", text(GOOD.replace(",", "\t"), "utf-16"), noticed((1, "separator"))),
    Ugly("UTF-16, big end first", b"\xfe\xff" + text(GOOD, "utf-16-be"), TWO),
    Ugly("UTF-16 without a mark", text(GOOD, "utf-16-le"), whole("encoding", "UTF-16")),
    Ugly(
        "Windows-1252 with an accent",
        text(f"{HEADER}\n{ROW}\nTEST0002,F,06/04/2013,Renée,U2,,\n", "cp1252"),
        wrong("ETHNIC", "code")._replace(notices=((3, None, "encoding"),)),
    ),
    Ugly(
        "Windows-1252 with a curled quotation mark and a dash",
        text(f"Report \u2013 \u2018header\u2019\n{GOOD}", "cp1252"),
        noticed((1, "encoding"), (2, "header")),
    ),
    Ugly("UTF-8 and Windows-1252 in one file", text(f"é\n{GOOD}") + b"\xe9,,,,,,\n", at(5, "encoding", "UTF-8")),
    Ugly("code page of DOS", text(GOOD) + b"Ren\x82e,,,,,,\n", at(4, "encoding", "CSV UTF-8")),
    Ugly("a NUL in the middle", text(GOOD) + b"TEST\x003,,,,,,\n", whole("encoding", "damaged")),
    Ugly("the characters of an old Mac", text(GOOD) + b"Ren\x8ee,,,,,,\n", at(4, "encoding", "CSV UTF-8")),
    Ugly("nothing", b"", whole("empty", "Export it again")),
    Ugly("spaces and line ends only", b" \r\n\r\n  ", whole("empty", "Export it again")),
    Ugly("a byte-order mark only", b"\xef\xbb\xbf", whole("empty", "Export it again")),
]

LINES = [
    Ugly("line ends of Windows", text(GOOD.replace("\n", "\r\n")), TWO),
    Ugly("line ends of an old Mac", text(GOOD.replace("\n", "\r")), TWO),
    Ugly("line ends of all kinds", text(f"{HEADER}\r\n{ROW}\r{OTHER}\n"), TWO),
    Ugly("no last line end", text(GOOD.rstrip()), TWO),
    Ugly("blank lines", text(f"{HEADER}\n\n{ROW}\n\n\n{OTHER}\n\n"), TWO),
    Ugly("blank rows with separators", text(f"{HEADER}\n,,,,,,\n{ROW}\n,,,,,,,,,\n{OTHER}\n"), TWO),
    Ugly("a thousand blank rows below", text(GOOD + ",,,,,,\n" * 1000), TWO),
    Ugly("the end-of-file mark of DOS", text(f"{GOOD}\x1a"), TWO),
    Ugly("a line without end", text(f"{HEADER}\n{ROW}{'x' * 3_000_000}"), at(2, "line", "line ends are lost")),
    Ugly(
        "an error below a blank line keeps its number",
        text(f"{HEADER}\n\n\n{ROW.replace('WBRI', PLANTED)}\n"),
        wrong("ETHNIC", "code", row=4, rows=1),
    ),
]

SEPARATORS = [
    Ugly("semicolons", text(GOOD.replace(",", ";")), noticed((1, "separator"))),
    Ugly("tabs", text(GOOD.replace(",", "\t")), noticed((1, "separator"))),
    Ugly("vertical bars", text(GOOD.replace(",", "|")), noticed((1, "separator"))),
    Ugly("Excel's line that names the separator", text("sep=;\n" + GOOD.replace(",", ";")), noticed((1, "separator"))),
    Ugly("every cell quoted", text("".join(f'"{line}"\n'.replace(",", '","') for line in GOOD.splitlines())), TWO),
    Ugly(
        "a line end in a cell", text(f'{HEADER}\n{ROW}\nTEST0002,F,06/04/2013,"AI\nND",U2,,\n'), wrong("ETHNIC", "code")
    ),
    Ugly(
        "an error below a line end in a cell keeps its number",
        text(f'{HEADER}\n"TEST0009\n",F,06/04/2013,AIND,U9,,\n{ROW.replace("05/03/2012", PLANTED)}\n'),
        wrong("DOB", "date"),
    ),
    Ugly(
        "a separator in a cell",
        text(f'{HEADER}\n{ROW}\nTEST0002,F,06/04/2013,"AIND,x",U2,,\n'),
        wrong("ETHNIC", "code"),
    ),
    Ugly("a quotation mark in a quoted cell", with_cell("ETHNIC", '"a ""b"""'), wrong("ETHNIC", "code")),
    Ugly("an inch mark in a plain cell", with_cell("ETHNIC", '5" pipe'), wrong("ETHNIC", "code")),
    Ugly(
        "a quotation mark not closed",
        text(f'{HEADER}\n{ROW}\n"TEST0002,{ROW}\n{ROW}\n'),
        at(3, "quote", "Mend the row"),
    ),
    Ugly("a quotation mark within a quoted cell", text(f'{HEADER}\n"TEST"2,{ROW}\n'), at(2, "quote", "Mend the row")),
    Ugly("a row too short", text(f"{HEADER}\n{ROW}\nTEST0002,F\n"), at(3, "cells", "2 cells, the header has 7")),
    Ugly("a row too long", text(f"{HEADER}\n{ROW},{PLANTED}\n"), at(2, "cells", "8 cells, the header has 7")),
    Ugly(
        "rows without their last blank cells, as Excel writes them",
        text(f"{HEADER}\n{OTHER}\n{ROW.rstrip(',')}\n"),
        noticed((3, "cells")),
    ),
    Ugly("a separator too many in each row", text(f"{HEADER}\n{ROW},\n{OTHER},\n"), TWO),
    Ugly("blank cells beyond the header", text(f"{HEADER}\n{ROW},,,\n{OTHER}, ,\n"), TWO),
]

HEADERS = [
    Ugly("a header in lower case", text(GOOD.replace(HEADER, HEADER.lower())), TWO),
    Ugly(
        "a header in words",
        text(f"{EPISODES.replace('_', ' ').title()}\n{EPISODE}\n"),
        Accepted({"episodes": 1}, warnings=WITHOUT_HEADER),
    ),
    Ugly("a header with spaces around its names", text(GOOD.replace(HEADER, HEADER.replace(",", " , "))), TWO),
    Ugly("a header with no-break spaces", text(GOOD.replace(HEADER, HEADER.replace(",", "\u00a0,"))), TWO),
    Ugly(
        "another order of columns",
        text("SEX,CHILD,UPN,DOB,MC_DOB,MOTHER,ETHNIC\nM,TEST1,U1,05/03/2012,,,WBRI\n"),
        noticed(rows=1),
    ),
    Ugly("blank columns on the right", text("".join(f"{line},,\n" for line in GOOD.splitlines())), TWO),
    Ugly(
        "a blank column in the middle",
        text(GOOD.replace(",", ",,", 1).replace("01,M", "01,,M").replace("02,F", "02,,F")),
        TWO,
    ),
    Ugly(
        "values in a column without a name",
        text(f"{HEADER},\n{ROW},{PLANTED}\n"),
        at(2, "cells", "8 cells, the header has 7"),
    ),
    Ugly(
        "values in a column without a name in the middle",
        text(f"{HEADER.replace(',', ',,', 1)}\n{ROW.replace(',', f',{PLANTED},', 1)}\n"),
        at(2, "columns", "values and no name"),
    ),
    Ugly(
        "numbers of rows in front, as data tools write them",
        text(f",{HEADER}\n0,{ROW}\n1,{OTHER}\n"),
        at(2, "columns", "Column 1 has values and no name"),
    ),
    Ugly(
        "names of rows in front, as statistical tools write them",
        text(f'{HEADER}\n"1",{ROW}\n"2",{ROW}\n'),
        at(1, "columns", "a cell in front"),
    ),
    Ugly("blank lines above the header", text(f"\n\n{GOOD}"), noticed((3, "header"))),
    Ugly("a title above the header", text(f"{PLANTED} report\nRun on 1 April 2026\n\n{GOOD}"), noticed((4, "header"))),
    Ugly("the header twice", text(f"{HEADER}\n{ROW}\n{HEADER}\n{OTHER}\n"), noticed((3, "header"))),
    Ugly(
        "two files in one, each with its mark",
        text(f"\ufeff{HEADER}\n{ROW}\n\ufeff{HEADER.lower()}\n{OTHER}\n"),
        noticed((3, "header")),
    ),
    Ugly("a row of totals", text(f"{GOOD}Total,2,,,,,\n"), noticed((4, "footer"))),
    Ugly("a short row of totals", text(f"{GOOD}Grand Total,2\n"), noticed((4, "footer"))),
    Ugly("a count as databases write it", text(f"{GOOD}\n(2 rows affected)\n"), noticed((5, "footer"))),
    Ugly(
        "a count and an end of report",
        text(f"{GOOD}Record count: 2\n*** End of report ***\n"),
        noticed((4, "footer"), (5, "footer")),
    ),
    Ugly("a header and no row", text(f"{HEADER}\n"), whole("rows", "Export it again")),
    Ugly("a header and totals only", text(f"{HEADER}\nTotal,0,,,,,\n"), whole("rows", "Export it again")),
    Ugly(
        "a column missing",
        text(GOOD.replace(",ETHNIC", "").replace(",WBRI", "").replace(",AIND", "")),
        Refused(((1, "ETHNIC", "columns"),), "Add it"),
    ),
    Ugly(
        "a column too many",
        text(f"{HEADER},NOTES\n{ROW},{PLANTED}\n"),
        at(1, "columns", "'NOTES', is not one of the table"),
    ),
    Ugly("a column twice", text(f"{HEADER},SEX\n{ROW},M\n"), Refused(((1, "SEX", "columns"),), "Keep one of them")),
    Ugly("another file", text(f"NAME,ADDRESS\n{PLANTED},1 High Street\n"), at(1, "columns", "right file")),
    Ugly(
        "rows without a header",
        text(f"{PLANTED},M,05/03/2012,WBRI,U1,,\n{ROW}\n"),
        at(1, "columns", "first row names the columns"),
    ),
    Ugly("one line of text", text(f"Dear {PLANTED}"), at(1, "columns", "right file")),
]

CELLS = [
    Ugly("codes in lower case", with_cell("ETHNIC", "aind"), TWO),
    Ugly("words instead of codes", with_cell("SEX", "Female"), TWO),
    Ugly("codes with decimals", with_cell("MOTHER", "1.0"), TWO),
    Ugly("cells with spaces around them", with_cell("ETHNIC", "  AIND\u00a0"), TWO),
    Ugly("a quoted blank cell", with_cell("MC_DOB", '""'), TWO),
    Ugly("a date with a time", with_cell("DOB", "06/04/2013 00:00:00"), wrong("DOB", "date")),
    Ugly("a date of another order", with_cell("DOB", "04/26/2013"), wrong("DOB", "date")),
    Ugly("a date with a short year", with_cell("DOB", "06/04/13"), wrong("DOB", "date")),
    Ugly("a date in words", with_cell("DOB", "6 April 2013"), wrong("DOB", "date")),
    Ugly("a date as Excel's number", with_cell("DOB", "41370"), wrong("DOB", "date")),
    Ugly("a date that does not exist", with_cell("DOB", "31/02/2013"), wrong("DOB", "date")),
    Ugly("a name in place of a code", with_cell("ETHNIC", PLANTED), wrong("ETHNIC", "code")),
    Ugly("NULL as databases write it", with_cell("ETHNIC", "NULL"), wrong("ETHNIC", "code")),
    Ugly("nan as data tools write it", with_cell("MOTHER", "nan"), wrong("MOTHER", "code")),
    Ugly("an error of Excel", with_cell("MC_DOB", "#REF!"), wrong("MC_DOB", "date")),
    Ugly("a formula", with_cell("UPN", "=1+1"), wrong("UPN", "text")),
    Ugly("an apostrophe before a number", with_cell("UPN", "'0012"), wrong("UPN", "text")),
    Ugly("a number in Excel's short form", with_cell("UPN", "1.2E+12"), wrong("UPN", "text")),
    Ugly("a needed cell left blank", with_cell("SEX", ""), wrong("SEX", "mandatory")),
    Ugly("a child without a number", with_cell("CHILD", ""), wrong("CHILD", "mandatory", rows=1)),
    Ugly(
        "the same child twice",
        text(f"{HEADER}\n{ROW}\n{ROW}\n"),
        Refused(((3, "CHILD", "one_header_per_child"),), "Keep one of the rows"),
    ),
    Ugly("a code of another year", with_cell("SEX", "2"), wrong("SEX", "code_of_another_year")),
    Ugly(
        "a header of another year",
        text(f"{HEADER}\n" + "".join(f"TEST{number},1,05/03/2012,WBRI,TESTUPN{number},,\n" for number in range(3))),
        Refused(((None, "SEX", "of_the_year_that_was_chosen"),), "seems to be of 2017 to 2024. Upload it for its own"),
    ),
    Ugly(
        "episodes of another year",
        text(
            f"{EPISODES}\n" + "".join(f"TEST{n},01/04/2023,S,C2,N1,U1,PR1,{n}/03/2024,E11,,,,\n" for n in range(10, 20))
        ),
        Refused(((None, "DEC", "of_the_year_that_was_chosen"),), "seems to be of 2024. Upload it for its own year"),
    ),
    Ugly(
        "dates out of order",
        text(f"{EPISODES}\n{EPISODE.replace(',PR1,,', ',PR1,31/03/2025,E11')}\n"),
        Accepted({"episodes": 1}, warnings=(*WITHOUT_HEADER, "episodes_end_after_they_begin")),
    ),
    Ugly(
        "an episode twice",
        text(f"{EPISODES}\n{EPISODE}\n{EPISODE}\n"),
        Accepted({"episodes": 2}, warnings=(*WITHOUT_HEADER, "episodes_do_not_overlap")),
    ),
    Ugly(
        "a postcode that cannot be",
        text(f"{EPISODES}\n{EPISODE.replace('M1 1AE', PLANTED)}\n"),
        Accepted({"episodes": 1}, errors=((2, "PL_POST", "postcode"),), warnings=WITHOUT_HEADER),
    ),
]

OTHER_KINDS = [
    Ugly("a PDF document", b"%PDF-1.7\n", whole("format", "Export the data again")),
    Ugly("a compressed file", b"\x1f\x8b\x08\x00rest", whole("format", "Export the data again")),
    Ugly(
        "a web page called a workbook",
        text(f"<html><table><td>{PLANTED}</td></table></html>"),
        whole("format", "web page"),
    ),
    Ugly(
        "a spreadsheet saved as XML",
        text('<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>'),
        whole("format", "save it again"),
    ),
    Ugly("an XML file", text("<?xml version='1.0'?><Message/>"), whole("format", "XML")),
    Ugly(
        "a workbook of an old kind",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        whole("format", "Excel Workbook (.xlsx)"),
    ),
    Ugly(
        "a workbook with a password",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + text("EncryptedPackage", "utf-16-le"),
        whole("format", "password"),
    ),
    Ugly(
        "a compressed folder",
        lambda: archives.archive({"header.csv": text(GOOD)}),
        whole("format", "Take the files out"),
    ),
    Ugly("a document of Word", lambda: archives.archive({"word/document.xml": b"<a/>"}), whole("format", "document")),
    Ugly("an OpenDocument table", lambda: archives.archive({"content.xml": b"<a/>"}), whole("format", "OpenDocument")),
    Ugly("a binary workbook", lambda: archives.archive({"xl/workbook.bin": b"x"}), whole("format", ".xlsb")),
]

_SHEET = ((None, None, "sheet"),)
WORKBOOKS = [
    Ugly("dates of Excel and codes as numbers", workbooks.plain, TWO),
    Ugly("dates counted from 1904", lambda: workbooks.plain(date_1904=True), TWO),
    Ugly("a table that does not begin in the first cell", workbooks.apart, noticed((4, "header"))),
    Ugly("cells merged downwards", workbooks.merged, noticed((2, "merged"))),
    Ugly("a merged title above", workbooks.titled, noticed((3, "header"))),
    Ugly("a hidden sheet", workbooks.with_hidden_sheet, Accepted({"header": 2}, _SHEET)),
    Ugly("notes in another sheet", workbooks.with_notes, Accepted({"header": 2}, ((1, None, "columns"),))),
    Ugly("an empty sheet", workbooks.with_empty_sheet, Accepted({"header": 2}, _SHEET)),
    Ugly("two tables in two sheets", workbooks.two_tables, Accepted({"header": 2, "episodes": 1})),
    Ugly("an error of a formula counts as blank", workbooks.with_error, TWO),
    Ugly("a date with a time of day", workbooks.with_time, wrong("DOB", "date")),
    Ugly("totals below", workbooks.with_totals, noticed((4, "footer"))),
    Ugly("the same table in two sheets", workbooks.same_table_twice, Refused(_SHEET, "Put its rows into one sheet")),
    Ugly("no sheet but a hidden one", workbooks.only_hidden, Refused((*_SHEET, (1, None, "columns")), "unhide it")),
    Ugly("no table in any sheet", workbooks.only_notes, at(1, "columns", "right file")),
    Ugly(
        "a column missing in a sheet",
        workbooks.without_column,
        Refused(((1, "ETHNIC", "columns"), (1, None, "columns")), "Sheet 1: This column"),
    ),
    Ugly("a cell in the far corner", workbooks.stray_cell, whole("workbook", "Ctrl+End")),
    Ugly("sent half", lambda: workbooks.plain()[:-400], whole("workbook", "not sent as a whole")),
    Ugly("damaged inside", archives.damaged_workbook, whole("workbook", "Open it in Excel")),
    Ugly("a bomb", archives.bomb, whole("workbook", "unfolds to far more")),
    Ugly("a bomb that lies about its size", archives.lying_bomb, whole("workbook", "Open it in Excel")),
    Ugly("an archive of very many files", archives.many_members, whole("workbook", "unfolds to far more")),
]

CENSUS_ROWS = {"events": 2, "factors": 1, "disabilities": 1}
CHILD = (
    "<Child><ChildIdentifiers><LAchildID>TEST0001</LAchildID><UPN>TESTUPN0001</UPN><PersonBirthDate>2012-03-05"
    "</PersonBirthDate><Sex>M</Sex></ChildIdentifiers><ChildCharacteristics><Ethnicity>WBRI</Ethnicity><Disabilities>"
    "<Disability>NONE</Disability></Disabilities></ChildCharacteristics><CINdetails><CINreferralDate>2025-05-01"
    "</CINreferralDate><ReferralSource>1A</ReferralSource><PrimaryNeedCode>N1</PrimaryNeedCode><Assessments>"
    "<AssessmentActualStartDate>2025-05-03</AssessmentActualStartDate><FactorsIdentifiedAtAssessment><AssessmentFactors>"
    "16A</AssessmentFactors></FactorsIdentifiedAtAssessment></Assessments><ReferralNFA>false</ReferralNFA></CINdetails>"
    "</Child>"
)
CENSUS = (
    "<Message><Header><CollectionDetails><Collection>CIN</Collection><Year>2026</Year></CollectionDetails></Header>"
    f"<Children>{CHILD}</Children></Message>"
)
ONE_CHILD = Accepted(CENSUS_ROWS)
UNFILLED = ("mandatory_cells_are_filled",)


def census(name: str, content: str | bytes, outcome: Accepted | Refused) -> Ugly:
    return Ugly(name, content if isinstance(content, bytes) else text(content), outcome, "cin")


def broken(column: str, rule: str, *warnings: str) -> Accepted:
    return Accepted(CENSUS_ROWS, errors=((1, column, rule), (1, column, rule)), warnings=warnings)


XML = [
    census("a census of one child", CENSUS, ONE_CHILD),
    census("a byte-order mark and a declaration", f'\ufeff<?xml version="1.0" encoding="utf-8"?>\n{CENSUS}', ONE_CHILD),
    census("UTF-16", text(f'<?xml version="1.0" encoding="utf-16"?>{CENSUS}', "utf-16"), ONE_CHILD),
    census(
        "Windows-1252, declared",
        text(f'<?xml version="1.0" encoding="windows-1252"?><!--é-->{CENSUS}', "cp1252"),
        ONE_CHILD,
    ),
    census(
        "prefixes of a namespace",
        CENSUS.replace("</", "</c:")
        .replace("<", "<c:")
        .replace("<c:/c:", "</c:")
        .replace("<c:Message", '<c:Message xmlns:c="urn:x"', 1),
        ONE_CHILD,
    ),
    census(
        "names in other letters",
        CENSUS.replace("CINdetails", "CINDetails").replace("LAchildID", "LAChildID"),
        ONE_CHILD,
    ),
    census("comments, sections and line ends", CENSUS.replace("<Sex>M", "<!-- x --><Sex>\n <![CDATA[M]]> "), ONE_CHILD),
    census("dates with a time, as databases write them", CENSUS.replace("-05-01", "-05-01T00:00:00"), ONE_CHILD),
    census(
        "an element that the census does not have",
        CENSUS.replace("<Sex>", f"<Surname>{PLANTED}</Surname><Sex>"),
        Accepted(CENSUS_ROWS, ((1, None, "element"),)),
    ),
    census(
        "a gender where the sex should be",
        CENSUS.replace("Sex>", "GenderCurrent>"),
        Accepted(CENSUS_ROWS, ((1, None, "element"),), ((1, "SEX", "mandatory"),) * 2, UNFILLED),
    ),
    census(
        "an event without its date",
        CENSUS.replace("2025-05-01", ""),
        Accepted(CENSUS_ROWS, errors=((1, "DATE", "mandatory"),), warnings=UNFILLED),
    ),
    census("a date of another form", CENSUS.replace("2012-03-05", "05/03/2012"), broken("DOB", "date")),
    census(
        "a name in place of a code",
        CENSUS.replace("WBRI", PLANTED),
        broken("ETHNIC", "code", "codes_are_known", *UNFILLED),
    ),
    census(
        "no child with a number",
        CENSUS.replace("TEST0001", ""),
        Refused(((None, "CHILD", "rows"),), "No row can be used"),
    ),
    census("another year", CENSUS.replace(">2026<", ">2025<"), whole("year", "2026")),
    census("another collection", CENSUS.replace(">CIN<", ">SEN2<"), whole("collection", "CIN")),
    census("no child", CENSUS.replace(CHILD, ""), whole("rows", "Export it again")),
    census("another return", f"<Return><Name>{PLANTED}</Name></Return>", whole("format", "right file")),
    census("a CSV file", GOOD, whole("format", "upload the XML file")),
    census("cut off in a child", CENSUS[:500], at(1, "xml", "not exported or sent as a whole")),
    census("cut off after a child", CENSUS[:-20], at(2, "xml", "not exported or sent as a whole")),
    census("tags that do not match", CENSUS.replace("</Sex>", "</Gender>"), at(1, "xml", "not well-formed")),
    census("an ampersand by itself", CENSUS.replace("WBRI", "A & B"), at(1, "xml", "not well-formed")),
    census("Windows-1252, declared as UTF-8", text(CENSUS.replace("WBRI", "é"), "cp1252"), at(1, "encoding", "UTF-8")),
    census(
        "entities that unfold a billion times",
        '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]>' + CENSUS,
        whole("xml", "DOCTYPE"),
    ),
    census(
        "an entity from elsewhere",
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>' + CENSUS,
        whole("xml", "DOCTYPE"),
    ),
    census("a comment without end", CENSUS.replace("<Sex>", "<!--" + "x" * 6_000_000), at(1, "xml", "far larger")),
    census("a text without end", CENSUS.replace("WBRI", "x" * 200_000), at(1, "xml", "far larger")),
    census("elements in elements without end", CENSUS.replace("<Sex>", "<Sex>" * 100), at(1, "xml", "far larger")),
    census(
        "a child of a million elements",
        CENSUS.replace("<Sex>M", "<Sex/>" * 150_000 + "<Sex>M"),
        at(1, "xml", "far larger"),
    ),
]

LIBRARY = [*ENCODINGS, *LINES, *SEPARATORS, *HEADERS, *CELLS, *OTHER_KINDS, *WORKBOOKS, *XML]
