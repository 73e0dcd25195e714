"""What a row does to its customer: values, several rows of one, names.

Source: CU-01, CU-02, CU-04, CU-05, CU-12 to CU-14.
"""

from __future__ import annotations

import pytest

from tests.integration.customers.cases import Case, cases, check
from tests.integration.customers.scenes import Scene

pytestmark = pytest.mark.integration

EVERY_COLUMN = (
    "Email,IsEmailConfirmed,MobilePhone,IsMobilePhoneConfirmed,DiscountCard,Area,LastName,FirstName,MiddleName,FullName,"
    "Sex,BirthDate,ExternalIdentityWebsite,ExternalIdentityPos,FavoriteColor,IsVip,Visits,Spent,Anniversary,LastVisit,"
    "Size,IsSubscribed,IsSubscribedByEmail,IsSubscribedByEmailOnNews"
)
EVERYTHING = (
    "1 email=ann@x.com is_email_confirmed=yes mobile_phone=+12125550101 is_mobile_phone_confirmed=no discount_card=007 "
    "area=Rome last_name=Lee first_name=Ann middle_name=M full_name=ALM sex=female birth_date=1990-02-28 website=17 "
    "pos=3 FavoriteColor=red IsVip=yes Visits=3 Spent=1.5 Anniversary=2020-02-02 LastVisit=2024-01-01T00:00:00Z Size=S "
    "Acme=yes Acme/Email=no Acme/Email/News=yes"
)
STRANGE = '017,03,"red, ""dark""\\é",No,12,"1,50",29.02.2020 10:00,2024-01-01 03:00+02:00,m'
DROP = {"on_invalid_optional": "drop_value"}


@cases(
    Case(
        "CU-01 edit existing changes those it finds and creates nobody",
        before="""
            1 email=ann@x.com first_name=Ann
            2 email=bob@x.com first_name=Bob
        """,
        file="""
            Email,FirstName
            ann@x.com,Anna
            cem@x.com,Cem
            bob@x.com,Bob
            cem@x.com,Cemal
        """,
        settings={"action": "edit_existing"},
        lines={2: "updated", 3: "not_found", 4: "unchanged", 5: "not_found"},
        after="""
            1 email=ann@x.com first_name=Anna
            2 email=bob@x.com first_name=Bob
        """,
        changes={2: {"first_name": ("Ann", "Anna")}},
    ),
    Case(
        "CU-01 add and edit changes those it finds and creates the others",
        before="1 email=ann@x.com first_name=Ann",
        file="""
            Email,FirstName
            ann@x.com,Anna
            cem@x.com,Cem
        """,
        lines={2: "updated", 3: "inserted"},
        after="""
            1 email=ann@x.com first_name=Anna
            +3 email=cem@x.com first_name=Cem
        """,
        changes={2: {"first_name": ("Ann", "Anna")}},
    ),
    Case(
        "CU-01 with nobody to be found edit existing finds nobody",
        file="""
            Email
            ann@x.com
        """,
        settings={"action": "edit_existing", "segment": "spring"},
        lines={2: "not_found"},
    ),
    Case(
        "CU-02 an e-mail, a phone or an external identifier is enough, a discount card is not",
        file="""
            Email,MobilePhone,ExternalIdentityWebsite,ExternalIdentityPos,DiscountCard
            ann@x.com,,,,
            ,(212) 555-0101,,,
            ,,17,,
            ,,,17,
            ,,,,0017
            ,,,,
            %CLEAR%,%CLEAR%,%CLEAR%,,0018
        """,
        lines={2: "inserted", 3: "inserted", 4: "inserted", 5: "inserted", 6: "row.no_identifier",
               7: "row.no_identifier", 8: "row.no_identifier"},
        after="""
            +2 email=ann@x.com
            +3 mobile_phone=+12125550101
            +4 website=17
            +5 pos=17
        """,
    ),
    Case(
        "CU-02 an identifier that cannot be read is told of itself, not as missing",
        file="""
            Email,MobilePhone,ExternalIdentityWebsite
            ann.x.com,,
            ,12,
            ,,1.7E+15
        """,
        lines={2: "email.not_email", 3: "mobile_phone.invalid_phone",
               4: "external_identity_website.spreadsheet_number"},
    ),
    Case(
        "CU-04 a blank cell keeps every value",
        before=EVERYTHING,
        file=f"""
            {EVERY_COLUMN}
            ann@x.com{"," * 23}
            ,,+12125550101{"," * 21}
            {"," * 12}17{"," * 11}
        """,
        lines={2: "unchanged", 3: "unchanged", 4: "unchanged"},
    ),
    Case(
        "CU-04 %CLEAR% erases every value but the identifier that the row is found by",
        before=EVERYTHING,
        file=f"""
            {EVERY_COLUMN}
            {"%CLEAR%," * 13}3{",%CLEAR%" * 10}
        """,
        lines={2: "updated"},
        after="1 pos=3 Acme=erased Acme/Email=erased Acme/Email/News=erased",
        changes={2: {
            "email": ("ann@x.com", None), "is_email_confirmed": ("yes", None), "mobile_phone": ("+12125550101", None),
            "is_mobile_phone_confirmed": ("no", None), "discount_card": ("007", None), "area": ("Rome", None),
            "last_name": ("Lee", None), "first_name": ("Ann", None), "middle_name": ("M", None),
            "full_name": ("ALM", None), "sex": ("female", None), "birth_date": ("1990-02-28", None),
            "website": ("17", None), "FavoriteColor": ("red", None), "IsVip": ("yes", None), "Visits": ("3", None),
            "Spent": ("1.5", None), "Anniversary": ("2020-02-02", None), "LastVisit": ("2024-01-01T00:00:00Z", None),
            "Size": ("S", None), "Acme": ("yes", None), "Acme/Email": ("no", None), "Acme/Email/News": ("yes", None),
        }},
        subscriptions=(
            "1 Acme=None: Admin panel, launched", "1 Acme/Email=None: Admin panel, launched",
            "1 Acme/Email/News=None: Admin panel, launched",
        ),
    ),
    Case(
        "CU-04 %CLEAR% of what is not there changes nothing, in a new customer either",
        before="1 email=ann@x.com",
        file="""
            Email,FirstName,FavoriteColor,IsSubscribed,ExternalIdentityPos,MobilePhone
            ann@x.com,%CLEAR%,%CLEAR%,%CLEAR%,%CLEAR%,%CLEAR%
            bob@x.com,%CLEAR%,%CLEAR%,%CLEAR%,%CLEAR%,%CLEAR%
        """,
        lines={2: "unchanged", 3: "inserted"},
        after="""
            1 email=ann@x.com
            +3 email=bob@x.com
        """,
    ),
    Case(
        "CU-04 every field is stored as what it is",
        file=f"""
            {EVERY_COLUMN.replace("IsVip", "CustomFieldIsVip")}
            Ann@X.com,YES,(212) 555-0101,0,0070,Rome,O'Lee,Ann,"M ""x"" y",,W,1990-2-3,{STRANGE},yes,0,true
        """,
        lines={2: "inserted"},
        after="""
            +2 email=Ann@X.com is_email_confirmed=yes mobile_phone=+12125550101 is_mobile_phone_confirmed=no \\
               discount_card=0070 area=Rome last_name="O'Lee" first_name=Ann middle_name='M "x" y' sex=female \\
               birth_date=1990-02-03 website=017 pos=03 FavoriteColor='red, "dark"\\é' IsVip=no Visits=12 \\
               Spent=1.50 Anniversary=2020-02-29 LastVisit=2024-01-01T01:00:00Z Size=M Acme=yes Acme/Email=no \\
               Acme/Email/News=yes
        """,
        subscriptions=(
            "+2 Acme=yes: Admin panel, launched", "+2 Acme/Email=no: Admin panel, launched",
            "+2 Acme/Email/News=yes: Admin panel, launched",
        ),
    ),
    Case(
        "CU-05 the same values in other words change nothing",
        before="""
            1 email=Ann@X.com is_email_confirmed=yes sex=female birth_date=1990-02-03 IsVip=no Spent=1.5 Visits=12 \\
              Anniversary=2020-02-29 LastVisit=2024-01-01T01:00:00Z Size=M Acme=yes mobile_phone=+12125550101
        """,
        file="""
            Email,IsEmailConfirmed,MobilePhone,Sex,BirthDate,IsVip,Visits,Spent,Anniversary,LastVisit,Size,IsSubscribed,SourceActionTemplate
            ANN@x.COM,1,212-555-0101,F,3.2.1990,0,0012,"1,50",2020.02.29,2024-01-01 03:00+02:00,m,Yes,ImportedFromCrm
        """,
        settings={"take_action_template_from_file": True},
        lines={2: "unchanged"},
    ),
    Case(
        "CU-05 only what differs is a change",
        before="1 email=ann@x.com first_name=Ann last_name=Lee FavoriteColor=red Size=S Acme=yes",
        file="""
            Email,FirstName,LastName,FavoriteColor,Size,IsSubscribed,IsSubscribedBySms
            ann@x.com,Ann,Law,red,L,yes,no
        """,
        lines={2: "updated"},
        after="1 email=ann@x.com first_name=Ann last_name=Law FavoriteColor=red Size=L Acme=yes Acme/Sms=no",
        changes={2: {"last_name": ("Lee", "Law"), "Size": ("S", "L"), "Acme/Sms": (None, "no")}},
        subscriptions=("1 Acme/Sms=no: Admin panel, launched",),
    ),
    Case(
        "CU-05 letter case counts in everything but e-mails and words of a list",
        before="1 email=ann@x.com first_name=Ann discount_card=a FavoriteColor=red website=w",
        file="""
            Email,FirstName,DiscountCard,FavoriteColor
            Ann@x.com,ANN,A,Red
        """,
        lines={2: "updated"},
        after="1 email=ann@x.com first_name=ANN discount_card=A FavoriteColor=Red website=w",
        changes={2: {"first_name": ("Ann", "ANN"), "discount_card": ("a", "A"), "FavoriteColor": ("red", "Red")}},
    ),
    Case(
        "CU-12 separate parts win over the full name of their row",
        before="1 email=ann@x.com full_name=Old",
        file="""
            Email,FullName,LastName,FirstName,MiddleName
            ann@x.com,Ann Lee,Lee,,
            bob@x.com,Bob Law,,Bob,
            cem@x.com,Cem Ray,,,C
        """,
        lines={2: "updated", 3: "inserted", 4: "inserted"},
        after="""
            1 email=ann@x.com full_name=Old last_name=Lee
            +3 email=bob@x.com first_name=Bob
            +4 email=cem@x.com middle_name=C
        """,
        changes={2: {"last_name": (None, "Lee")}},
    ),
    Case(
        "CU-04 a full name can be erased beside parts that take its place",
        before='1 email=ann@x.com full_name="Ann Lee"',
        file="""
            Email,FullName,LastName,FirstName
            ann@x.com,%CLEAR%,Lee,Ann
        """,
        lines={2: "updated"},
        after="1 email=ann@x.com last_name=Lee first_name=Ann",
        changes={2: {"last_name": (None, "Lee"), "first_name": (None, "Ann"), "full_name": ("Ann Lee", None)}},
    ),
    Case(
        "CU-12 the full name alone is kept as given and leaves the parts alone",
        before="1 email=ann@x.com last_name=Law first_name=Ann",
        file="""
            Email,FullName,LastName
            ann@x.com,  Lee Ann  ,
            bob@x.com,"van den Berg, Bob",
        """,
        lines={2: "updated", 3: "inserted"},
        after="""
            1 email=ann@x.com last_name=Law first_name=Ann full_name="Lee Ann"
            +3 email=bob@x.com full_name="van den Berg, Bob"
        """,
        changes={2: {"full_name": (None, "Lee Ann")}},
    ),
    Case(
        "CU-12 erasing parts is no part that could win over the full name",
        before="1 email=ann@x.com last_name=Law first_name=Ann",
        file="""
            Email,FullName,LastName,FirstName
            ann@x.com,Ann Lee,%CLEAR%,%CLEAR%
        """,
        lines={2: "updated"},
        after='1 email=ann@x.com full_name="Ann Lee"',
        changes={2: {"last_name": ("Law", None), "first_name": ("Ann", None), "full_name": (None, "Ann Lee")}},
    ),
    Case(
        "CU-13 several rows of one customer are folded in file order",
        before="1 email=ann@x.com first_name=Ann last_name=Lee area=Rome",
        file="""
            Email,FirstName,LastName,Area
            ann@x.com,A1,L1,
            ann@x.com,A2,,
            ann@x.com,,,%CLEAR%
            ann@x.com,A3,L1,
            ann@x.com,,,Rome
        """,
        lines={2: "updated", 3: "unchanged", 4: "unchanged", 5: "updated", 6: "unchanged"},
        after="1 email=ann@x.com first_name=A3 last_name=L1 area=Rome",
        changes={2: {"last_name": ("Lee", "L1")}, 5: {"first_name": ("Ann", "A3")}},
    ),
    Case(
        "CU-13 a change belongs to the first row of the last run of equal values",
        before="""
            1 email=ann@x.com first_name=X
            2 email=bob@x.com first_name=X
            3 email=cem@x.com first_name=X
        """,
        file="""
            Email,FirstName
            ann@x.com,Bob
            ann@x.com,Ann
            ann@x.com,Bob
            bob@x.com,Ann
            bob@x.com,Bob
            bob@x.com,
            bob@x.com,Bob
            cem@x.com,Bob
            cem@x.com,X
        """,
        lines={2: "unchanged", 3: "unchanged", 4: "updated", 5: "unchanged", 6: "updated", 7: "unchanged",
               8: "unchanged", 9: "unchanged", 10: "unchanged"},
        after="""
            1 email=ann@x.com first_name=Bob
            2 email=bob@x.com first_name=Bob
            3 email=cem@x.com first_name=X
        """,
        changes={4: {"first_name": ("X", "Bob")}, 6: {"first_name": ("X", "Bob")}},
    ),
    Case(
        "CU-13 later rows of a new customer are updates of it, the first one is the creation",
        file="""
            Email,FirstName,LastName,Area
            ann@x.com,Ann,,
            ann@x.com,Ann,Lee,
            ann@x.com,,,Rome
            ann@x.com,,,%CLEAR%
            ann@x.com,Anna,,
        """,
        lines={2: "inserted", 3: "updated", 4: "unchanged", 5: "unchanged", 6: "updated"},
        after="+2 email=ann@x.com first_name=Anna last_name=Lee",
        changes={3: {"last_name": (None, "Lee")}, 6: {"first_name": (None, "Anna")}},
    ),
    Case(
        "CU-13 rejected rows between a customer's rows count for nothing",
        before="1 email=ann@x.com first_name=Ann",
        file="""
            Email,FirstName,BirthDate
            ann@x.com,A1,
            ann@x.com,A2,1990-02-30
            ann@x.com,,2000-01-01
        """,
        lines={2: "updated", 3: "birth_date.impossible_date", 4: "updated"},
        after="1 email=ann@x.com first_name=A1 birth_date=2000-01-01",
        changes={2: {"first_name": ("Ann", "A1")}, 4: {"birth_date": (None, "2000-01-01")}},
    ),
    Case(
        "CU-13 name parts of one row and the full name of another are folded each by itself",
        file="""
            Email,FullName,FirstName
            ann@x.com,Ann Lee,
            ann@x.com,Somebody Else,Ann
            ann@x.com,Anna Lee,
        """,
        lines={2: "inserted", 3: "updated", 4: "updated"},
        after='+2 email=ann@x.com first_name=Ann full_name="Anna Lee"',
        changes={3: {"first_name": (None, "Ann")}, 4: {"full_name": (None, "Anna Lee")}},
    ),
    Case(
        "CU-14 an invalid optional value rejects the row, with all its reasons",
        before="1 email=ann@x.com first_name=Ann",
        file="""
            Email,FirstName,Sex,BirthDate,Visits,Size,IsSubscribed
            ann@x.com,Anna,x,2999-01-01,many,XL,perhaps
        """,
        lines={2: "birth_date.in_the_future custom_field_size.unknown_choice custom_field_visits.not_integer "
                  "is_subscribed.not_boolean sex.unknown_choice"},
    ),
    Case(
        "CU-14 drop_value loads the row without it",
        before="1 email=ann@x.com first_name=Ann sex=female birth_date=1990-01-01 Visits=1",
        file="""
            Email,FirstName,Sex,BirthDate,Visits,Size,IsSubscribed
            ann@x.com,Anna,x,2999-01-01,many,XL,perhaps
            bob@x.com,,m,1.2.1990,7,s,no
        """,
        settings=DROP,
        lines={2: "updated", 3: "inserted"},
        after="""
            1 email=ann@x.com first_name=Anna sex=female birth_date=1990-01-01 Visits=1
            +3 email=bob@x.com sex=male birth_date=1990-02-01 Visits=7 Size=S Acme=no
        """,
        changes={2: {"first_name": ("Ann", "Anna")}},
        subscriptions=("+3 Acme=no: Admin panel, launched",),
    ),
    Case(
        "CU-14 drop_value never drops an identifier",
        before="1 email=ann@x.com first_name=Ann",
        file="""
            Email,MobilePhone,ExternalIdentityPos,FirstName,Sex
            ann@x.com,12,,A,x
            ann@x,,7,A,
            ann@x.com,,7.1E+11,A,
        """,
        settings=DROP,
        lines={2: "mobile_phone.invalid_phone", 3: "email.not_email",
               4: "external_identity_pos.spreadsheet_number"},
    ),
)  # fmt: skip
def test_values(scene: Scene, case: Case):
    check(scene, case)


FIELDS = (
    ("IsEmailConfirmed", "is_email_confirmed", "yes", "no", "no"),
    ("IsMobilePhoneConfirmed", "is_mobile_phone_confirmed", "no", "yes", "yes"),
    ("DiscountCard", "discount_card", "007", "7", "7"),
    ("Area", "area", "Rome", "Oslo", "Oslo"),
    ("LastName", "last_name", "Lee", "lee", "lee"),
    ("FirstName", "first_name", "Ann", "Anna", "Anna"),
    ("MiddleName", "middle_name", "M", "N", "N"),
    ("FullName", "full_name", "ALM", "ANM", "ANM"),
    ("Sex", "sex", "female", "m", "male"),
    ("BirthDate", "birth_date", "1990-02-28", "1.3.1990", "1990-03-01"),
    ("FavoriteColor", "FavoriteColor", "red", "Red", "Red"),
    ("IsVip", "IsVip", "yes", "no", "no"),
    ("Visits", "Visits", "3", "4", "4"),
    ("Spent", "Spent", "1.5", "1.51", "1.51"),
    ("Anniversary", "Anniversary", "2020-02-02", "2020-02-03", "2020-02-03"),
    ("LastVisit", "LastVisit", "2024-01-01T00:00:00Z", "2024-01-01 00:00:00.5", "2024-01-01T00:00:00.500000Z"),
    ("Size", "Size", "S", "l", "L"),
    ("IsSubscribed", "Acme", "yes", "no", "no"),
    ("IsSubscribedByEmail", "Acme/Email", "no", "yes", "yes"),
    ("IsSubscribedByEmailOnNews", "Acme/Email/News", "yes", "no", "no"),
)
"""Column, name, a value, a cell with another one, and that one."""


@pytest.mark.parametrize("times", [1, 2], ids=["in one row", "in a row that comes twice"])
def test_cu04_each_field_by_itself_is_set_changed_cleared_kept_and_repeated(scene: Scene, times: int):
    """CU-04, CU-05: each row gives one value, so that it alone can be why its customer changes."""
    columns = [column for column, *_ in FIELDS]
    before, rows, changes = [], [columns], []
    for column, name, old, cell, new in FIELDS:
        erased = "erased" if "Acme" in name else None
        for sent, had, has in (
            (cell, None, new), (cell, old, new), ("%CLEAR%", old, erased), ("%CLEAR%", None, None), ("", old, old),
            (cell, new, new),
        ):  # fmt: skip
            key = len(before) + 1
            before.append(f"{key} website={key}" + (f" {name}={had}" if had else ""))
            rows += [[sent if column == header else "" for header in columns]] * times
            changes.append({name: (had, None if has == "erased" else has)} if had != has else None)
    scene.add("\n".join(before))
    keys = ["ExternalIdentityWebsite", *(str(key + 1) for key in range(len(before)) for _ in range(times))]
    loaded = scene.load("\n".join(",".join([key, *row]) for key, row in zip(keys, rows, strict=True)) + "\n")
    assert loaded.changes() == {2 + times * place: change for place, change in enumerate(changes) if change}
    assert len(loaded.changes()) == 3 * len(FIELDS)
