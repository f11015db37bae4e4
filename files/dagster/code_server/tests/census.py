# SPDX-License-Identifier: GPL-3.0-or-later
"""Invented children in need census files of any size: `python tests/census.py FILE CHILDREN [YEAR]`."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

ETHNICITIES = ("WBRI", "WIRI", "MWBC", "AIND", "BCRB", "OOTH", "NOBT")
SOURCES = ("1A", "1C", "2A", "3B", "3E", "5A", "6", "10")
DISABILITIES = ("MOB", "COMM", "LD", "AUT", "VIS")
FACTORS = ("2B", "3B", "4A", "4B", "10A", "16A", "17A", "21")
ABUSES = ("NEG", "PHY", "SAB", "EMO")


def write_census(path: Path, children: int, year: int = 2026, seed: int = 1) -> None:
    """The same children for the same seed. None of them is, or resembles, a real one."""
    chance = random.Random(seed)  # noqa: S311  # invented rows, no secrets
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<Message>\n')
        file.write(f" <Header><CollectionDetails><Collection>CIN</Collection><Year>{year}</Year>")
        file.write(f"<ReferenceDate>{year}-03-31</ReferenceDate></CollectionDetails>")
        file.write("<Source><SourceLevel>L</SourceLevel><LEA>999</LEA></Source></Header>\n <Children>\n")
        file.writelines(child(number, year, chance) for number in range(1, children + 1))
        file.write(" </Children>\n</Message>\n")


def child(number: int, year: int, chance: random.Random) -> str:
    born = date(year - chance.randint(1, 17), chance.randint(1, 12), chance.randint(1, 28))
    sex = (
        f"<Sex>{chance.choice('MF')}</Sex>" if year >= 2025 else f"<GenderCurrent>{chance.choice('12')}</GenderCurrent>"
    )
    disabilities = chance.sample(DISABILITIES, chance.choice((0, 0, 1, 2))) or ["NONE"]
    listed = "".join(f"<Disability>{disability}</Disability>" for disability in disabilities)
    return (
        f"  <Child><ChildIdentifiers><LAchildID>TEST{number:06}</LAchildID><UPN>T{number:012}</UPN>"
        f"<PersonBirthDate>{born}</PersonBirthDate>{sex}</ChildIdentifiers><ChildCharacteristics>"
        f"<Ethnicity>{chance.choice(ETHNICITIES)}</Ethnicity><Disabilities>{listed}</Disabilities>"
        f"</ChildCharacteristics>{''.join(details(year, chance) for _ in range(chance.choice((1, 1, 1, 2))))}</Child>\n"
    )


def details(year: int, chance: random.Random) -> str:
    referred = date(year - 1, 4, 1) + timedelta(days=chance.randint(0, 200))
    closed = referred + timedelta(days=chance.randint(60, 150)) if chance.random() < 0.5 else None
    closure = f"<CINclosureDate>{closed}</CINclosureDate><ReasonForClosure>RC7</ReasonForClosure>" if closed else ""
    return (
        f"<CINdetails><CINreferralDate>{referred}</CINreferralDate><ReferralSource>{chance.choice(SOURCES)}"
        f"</ReferralSource><PrimaryNeedCode>N{chance.randint(1, 8)}</PrimaryNeedCode>{closure}"
        f"{''.join(groups(referred, chance))}<ReferralNFA>0</ReferralNFA></CINdetails>"
    )


def groups(referred: date, chance: random.Random) -> Iterator[str]:
    started, authorised = referred + timedelta(days=2), referred + timedelta(days=40)
    factors = "".join(f"<AssessmentFactors>{factor}</AssessmentFactors>" for factor in chance.sample(FACTORS, 3))
    yield (
        f"<Assessments><AssessmentActualStartDate>{started}</AssessmentActualStartDate><AssessmentAuthorisationDate>"
        f"{authorised}</AssessmentAuthorisationDate><FactorsIdentifiedAtAssessment>{factors}"
        "</FactorsIdentifiedAtAssessment></Assessments>"
    )
    if chance.random() < 0.4:
        yield f"<CINPlanDates><CINPlanStartDate>{authorised}</CINPlanStartDate></CINPlanDates>"
    if chance.random() < 0.3:
        conference = referred + timedelta(days=20)
        yield (
            f"<Section47><S47ActualStartDate>{started}</S47ActualStartDate><InitialCPCtarget>{conference}"
            f"</InitialCPCtarget><DateOfInitialCPC>{conference}</DateOfInitialCPC><ICPCnotRequired>0</ICPCnotRequired>"
            f"</Section47><ChildProtectionPlans><CPPstartDate>{conference}</CPPstartDate><InitialCategoryOfAbuse>"
            f"{chance.choice(ABUSES)}</InitialCategoryOfAbuse><LatestCategoryOfAbuse>{chance.choice(ABUSES)}"
            f"</LatestCategoryOfAbuse><NumberOfPreviousCPP>{chance.randint(0, 2)}</NumberOfPreviousCPP><Reviews>"
            f"<CPPreviewDate>{conference + timedelta(days=90)}</CPPreviewDate></Reviews></ChildProtectionPlans>"
        )


if __name__ == "__main__":
    write_census(Path(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:4]))
