"""Which e-mails are one, values that people share, and strangers that a file makes one. Source: CU-03, X-16."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.imports import counts, rejects
from tests.integration.customers.cases import Case, cases, check
from tests.integration.customers.scenes import Scene, warnings_of

pytestmark = pytest.mark.integration


@cases(
    Case(
        "X-16 a capital dotted I is another mailbox, not the same in another case",
        before="1 email=irem@example.com first_name=Before",
        file="""
            Email,FirstName
            \u0130rem@example.com,Attacker
            IREM@EXAMPLE.COM,Owner
        """,
        lines={2: "inserted", 3: "updated"},
        after="""
            1 email=irem@example.com first_name=Owner
            +2 email=\u0130rem@example.com first_name=Attacker
        """,
        changes={3: {"first_name": ("Before", "Owner")}},
    ),
    Case(
        "X-16 the case of letters beyond ASCII tells mailboxes apart",
        file="""
            Email
            ΣΟΦΟΣ@x.com
            σοφος@x.com
            σοφοσ@x.com
            ΣΟΦΟΣ@X.com
        """,
        lines={2: "inserted", 3: "inserted", 4: "inserted", 5: "unchanged"},
        after="""
            +2 email=ΣΟΦΟΣ@x.com
            +3 email=σοφος@x.com
            +4 email=σοφοσ@x.com
        """,
    ),
    Case(
        "X-16 a domain in Unicode and in punycode is one, whichever came first",
        before="1 email=ann@xn--mnchen-3ya.de",
        file="""
            Email,FirstName
            Ann@MÜNCHEN.de,A
            bob@straße.de,B
            bob@XN--STRAE-OQA.de,Bo
            cem@strasse.de,C
            dan@ｅxample.com,D
            dan@example.com,Da
        """,
        lines={2: "updated", 3: "inserted", 4: "updated", 5: "inserted", 6: "inserted", 7: "updated"},
        after="""
            1 email=ann@xn--mnchen-3ya.de first_name=A
            +3 email=bob@xn--strae-oqa.de first_name=Bo
            +5 email=cem@strasse.de first_name=C
            +6 email=dan@example.com first_name=Da
        """,
        changes={
            2: {"first_name": (None, "A")}, 4: {"first_name": (None, "Bo")}, 7: {"first_name": (None, "Da")},
        },
    ),
)  # fmt: skip
def test_x16_emails(scene: Scene, case: Case):
    check(scene, case)


@cases(
    Case(
        "CU-03 more than three first names are of several people, unless an external id names one",
        before="1 website=7 email=seven@x.com",
        file="""
            ExternalIdentityWebsite,Email,FirstName
            ,no@x.com,Ada
            ,no@x.com,Ben
            ,no@x.com,ADA
            ,no@x.com,Cleo
            ,no@x.com,Dan
            ,no@x.com,Ben
            ,no@x.com,Eve
            7,seven@x.com,A
            7,seven@x.com,B
            7,seven@x.com,C
            7,seven@x.com,D
        """,
        lines={
            2: "inserted", 3: "unchanged", 4: "unchanged", 5: "unchanged", 6: "unchanged", 7: "unchanged",
            8: "updated", 9: "unchanged", 10: "unchanged", 11: "unchanged", 12: "updated",
        },
        after="""
            1 website=7 email=seven@x.com first_name=D
            +2 email=no@x.com first_name=Eve
        """,
        changes={8: {"first_name": (None, "Eve")}, 12: {"first_name": (None, "D")}},
        warnings={"row.shared_identifier": {6, 8}},
    ),
    Case(
        "CU-03 the same of names of one word in other columns",
        file="""
            Email,LastName,FullName
            no@x.com,Ada,
            no@x.com,,Ben
            no@x.com,Cleo,
            no@x.com,,Dan
        """,
        lines={2: "inserted", 3: "unchanged", 4: "updated", 5: "updated"},
        after="+2 email=no@x.com last_name=Cleo full_name=Dan",
        changes={4: {"last_name": (None, "Cleo")}, 5: {"full_name": (None, "Dan")}},
        warnings={"row.shared_identifier": {5}},
    ),
    Case(
        "CU-03 three people with one e-mail and different phones are one customer, and that is said",
        file="""
            Email,MobilePhone,FirstName,LastName
            noemail@example.com,+12025550161,Ada,Example
            noemail@example.com,+12025550162,Ben,Sample
            noemail@example.com,+12025550163,Cleo,Specimen
        """,
        lines={2: "inserted", 3: "unchanged", 4: "updated"},
        after="+2 email=noemail@example.com mobile_phone=+12025550163 first_name=Cleo last_name=Specimen",
        changes={
            4: {
                "mobile_phone": (None, "+12025550163"), "first_name": (None, "Cleo"), "last_name": (None, "Specimen"),
            },
        },
        warnings={"row.shared_identifier": {3, 4}},
    ),
    Case(
        "CU-03 one phone with other e-mails, one e-mail with names that have no word in common",
        file="""
            Email,MobilePhone,FullName
            ann@x.com,+12025550161,
            bob@x.com,+12025550161,
            fam@x.com,,Ada Example
            fam@x.com,,Ben Sample
            fam@x.com,,Ben T. Sample
        """,
        lines={2: "inserted", 3: "updated", 4: "inserted", 5: "unchanged", 6: "updated"},
        after="""
            +2 email=bob@x.com mobile_phone=+12025550161
            +4 email=fam@x.com full_name=\'Ben T. Sample\'
        """,
        changes={3: {"email": (None, "bob@x.com")}, 6: {"full_name": (None, "Ben T. Sample")}},
        warnings={"row.shared_identifier": {3, 5}},
    ),
    Case(
        "CU-03 rows with one external identifier, and names that are only corrected, are no strangers",
        file="""
            ExternalIdentityWebsite,Email,MobilePhone,FirstName,LastName
            1,ann@x.com,+12025550161,Ann,Lee
            1,ann@x.com,+12025550162,Ann,Lee
            ,bob@x.com,,Bob,Law
            ,bob@x.com,,Bob,Law-Lee
        """,
        lines={2: "inserted", 3: "updated", 4: "inserted", 5: "updated"},
        after="""
            +2 website=1 email=ann@x.com mobile_phone=+12025550162 first_name=Ann last_name=Lee
            +4 email=bob@x.com first_name=Bob last_name=Law-Lee
        """,
        changes={3: {"mobile_phone": (None, "+12025550162")}, 5: {"last_name": (None, "Law-Lee")}},
    ),
)  # fmt: skip
def test_cu03_strangers(scene: Scene, case: Case):
    check(scene, case)


def rows_that_share(row: Callable[[int], str], number: int) -> str:
    """Return a file of so many rows."""
    header = "ExternalIdentityWebsite,ExternalIdentityPos,Email,MobilePhone,FirstName\n"
    return header + "".join(f"{row(n)}\n" for n in range(number))


SHARED = {
    "email": lambda n: f",,{'NoEmail' if n % 2 else 'noemail'}@example.com,+1202555{n:04},N{n}",
    "mobile_phone": lambda n: f",,n{n}@x.com,+12025550100,N{n}",
    "external_id": lambda n: f"0,,n{n}@x.com,,N{n}",
}


@pytest.mark.parametrize("kind", SHARED)
def test_cu03_a_placeholder_is_of_nobody_from_21_rows_on(scene: Scene, kind: str):
    """20 rows that share a value are one customer; 21 are 21 customers without it, and that is said of each."""
    scene.add("1 website=0 email=noemail@example.com mobile_phone=+12025550100 first_name=Before")
    few = scene.load(rows_that_share(SHARED[kind], 20))
    assert f"{kind}.placeholder" not in few.outcome.warnings
    scene.erase()
    scene.add("1 website=0 email=noemail@example.com mobile_phone=+12025550100 first_name=Before")
    many = scene.load(rows_that_share(SHARED[kind], 21))
    assert set(many.lines.values()) == {"inserted"}
    assert many.outcome.warnings == {f"{kind}.placeholder": set(range(2, 23))}
    assert len(many.customers()) == 22
    assert many.customers()["1"]["first_name"] == "Before"
    again = scene.load(rows_that_share(SHARED[kind], 21))
    assert set(again.lines.values()) == {"unchanged"}


def test_cu03_the_number_of_rows_that_make_a_placeholder_is_a_setting(scene: Scene):
    loaded = scene.load(rows_that_share(SHARED["email"], 4), shared_identifier_rows=3)
    assert loaded.outcome.warnings == {"email.placeholder": {2, 3, 4, 5}}
    scene.erase()
    assert len(scene.load(rows_that_share(SHARED["email"], 22), shared_identifier_rows=30).customers()) == 1


def test_cu03_rows_with_nothing_but_a_placeholder_are_rejected(scene: Scene):
    """CU-02: they name nobody. Rows that the suite rejects are as before; a dry run says the same."""
    file = rows_that_share(SHARED["email"], 21) + ",,noemail@example.com,,Alone\n,,NOEMAIL@example.com,%CLEAR%,Alone\n"
    expected = {23: "row.placeholder_only", 24: "row.placeholder_only"}
    for settings in ({"dry_run": True}, {"action": "edit_existing"}, {}):
        loaded = scene.load(file, **settings)
        assert {line: rules for line, rules in loaded.lines.items() if "." in rules} == expected
    sentence = scene.site.query(
        "SELECT reasons FROM ledger.reject WHERE job_id = :job AND line = 23", job=loaded.result.job
    )[0][0]
    assert "more than 20 rows of this file" in sentence
    assert "noemail" not in sentence


def with_broken_rows(number: int, broken: range) -> str:
    """Return a file of rows that share an e-mail, some of them with a day of birth that is none."""
    rows = (f"no@x.com,+1202555{n:04},N{n},{'31.02.1990' if n in broken else '1990-02-01'}\n" for n in range(number))
    return "Email,MobilePhone,FirstName,BirthDate\n" + "".join(rows)


def test_cu03_rows_of_a_placeholder_count_the_rejected_ones_too(scene: Scene):
    loaded = scene.load(with_broken_rows(21, range(5)))
    assert loaded.outcome.warnings == {"email.placeholder": set(range(7, 23))}
    assert len(loaded.customers()) == 16


def test_cu03_a_placeholder_is_one_in_the_files_that_correct_its_rows(scene: Scene):
    """A few rows alone would not show it. The ledger has no values either, but keyed digests (X-20)."""
    loaded = scene.load(with_broken_rows(30, range(5)))
    assert len(loaded.customers()) == 25
    header = "_job,_line,Email,MobilePhone,FirstName,BirthDate\n"

    def correct(job: int, *birth_dates: str):
        rows = (
            f"{job},{n + 2},No@X.com,+1202555{n:04},N{n},{birth_date}\n" for n, birth_date in enumerate(birth_dates)
        )
        return scene.site.load("customers", header + "".join(rows))

    second = correct(loaded.result.job, "1990-02-01", "1990-02-01", "1990-02-01", "1990-02-30", "1990-02-30")
    assert counts(second) == {"read": 5, "inserted": 3, "rejected": 2}
    assert warnings_of(scene.site, second.job)["email.placeholder"] == (3, [2, 3, 4])
    third = correct(second.job, "", "", "", "1990-02-01", "1990-02-01")
    assert counts(third) == {"read": 5, "inserted": 2, "unchanged": 3}
    ((emails,),) = scene.site.query("SELECT count(email) FROM loyalty.customer")
    assert emails == 0
    statement = "SELECT identifier, length(digest) FROM ledger.customer_placeholder WHERE job_id = :job"
    assert scene.site.query(statement, job=third.job) == [("email", 32)]
    nobody = scene.site.load("customers", f"_job,Email,FirstName\n{third.job},NO@x.com,Alone\n")
    assert rejects(nobody) == {2: {"row.placeholder_only"}}


def test_cu03_many_rows_of_one_customer_are_no_placeholder(scene: Scene):
    """What they give beside the value is the same, or nothing."""
    rows = [f",,ann@x.com,+12025550100,A{n}" for n in range(30)] + [",,ann@x.com,,A"] * 30
    loaded = scene.load(rows_that_share(rows.__getitem__, 60))
    assert set(loaded.lines.values()) <= {"inserted", "updated", "unchanged"}
    assert not [rule for rule in loaded.outcome.warnings if rule.endswith("placeholder")]
    assert len(loaded.customers()) == 1


def test_cu03_a_placeholder_beside_an_identifier_of_its_own_does_not_move(scene: Scene):
    """Who is known by an external identifier keeps the e-mail that others give as a placeholder."""
    scene.add("1 website=7 email=noemail@example.com")
    file = rows_that_share(SHARED["email"], 21) + "7,,noemail@example.com,,Seven\n"
    loaded = scene.load(file)
    assert loaded.lines[23] == "updated"
    assert loaded.customers()["1"] == {"website": "7", "email": "noemail@example.com", "first_name": "Seven"}


def test_cu03_the_warnings_name_no_value(scene: Scene):
    """X-20, with lines for each rule."""
    loaded = scene.load(rows_that_share(SHARED["email"], 25))
    assert warnings_of(scene.site, loaded.result.job)["email.placeholder"] == (25, list(range(2, 27)))
    warning = next(warning for warning in loaded.result.warnings if warning["rule"] == "email.placeholder")
    assert "25 rows, first on line 2" in warning["message"]
    assert "noemail" not in warning["message"]
    assert rejects(loaded.result) == {}
