"""Whose a row is, and identifiers that are in the way of one another. Source: CU-02 to CU-04, X-08."""

from __future__ import annotations

import pytest

from tests.integration.customers.cases import Case, cases, check
from tests.integration.customers.scenes import Scene

pytestmark = pytest.mark.integration

THREE = """
    1 website=1 pos=9 email=ann@x.com mobile_phone=+12125550101
    2 website=2 email=bob@x.com mobile_phone=+12125550102
    3 pos=3 email=cem@x.com
"""


@cases(
    Case(
        "CU-03 each identifier finds its customer by itself",
        before=THREE,
        file="""
            ExternalIdentityWebsite,ExternalIdentityPos,Email,MobilePhone,FirstName
            1,,,,A
            ,,BOB@X.COM,,B
            ,3,,,C
            ,,,(212) 555-0101,Z
        """,
        lines={2: "unchanged", 3: "updated", 4: "updated", 5: "updated"},
        after="""
            1 website=1 pos=9 email=ann@x.com mobile_phone=+12125550101 first_name=Z
            2 website=2 email=bob@x.com mobile_phone=+12125550102 first_name=B
            3 pos=3 email=cem@x.com first_name=C
        """,
        changes={3: {"first_name": (None, "B")}, 4: {"first_name": (None, "C")}, 5: {"first_name": (None, "Z")}},
    ),
    Case(
        "CU-03 an external identifier is one within its system",
        before=THREE,
        file="""
            ExternalIdentityWebsite,ExternalIdentityPos,Area
            9,,website
            ,9,pos
            ,1,new
        """,
        lines={2: "inserted", 3: "updated", 4: "inserted"},
        after="""
            1 website=1 pos=9 email=ann@x.com mobile_phone=+12125550101 area=pos
            2 website=2 email=bob@x.com mobile_phone=+12125550102
            3 pos=3 email=cem@x.com
            +2 website=9 area=website
            +4 pos=1 area=new
        """,
        changes={3: {"area": (None, "pos")}},
    ),
    Case(
        "CU-03, X-16 an external identifier compares exactly, an e-mail without the case of ASCII alone",
        before="1 website=aB email=Zoë.Ärmel@x.com",
        file="""
            ExternalIdentityWebsite,Email,Area
            ab,,other
            ,zoë.ÄRMEL@X.COM,same
            ,Zoë.ärmel@x.com,another
        """,
        lines={2: "inserted", 3: "updated", 4: "inserted"},
        after="""
            1 website=aB email=Zoë.Ärmel@x.com area=same
            +2 website=ab area=other
            +4 email=Zoë.ärmel@x.com area=another
        """,
        changes={3: {"area": (None, "same")}},
    ),
    Case(
        "CU-03 two identifiers of two customers reject the row and nothing is merged",
        before=THREE,
        file="""
            ExternalIdentityWebsite,ExternalIdentityPos,Email,MobilePhone,FirstName
            1,,bob@x.com,,X
            ,,ann@x.com,+12125550102,X
            ,3,,+12125550101,X
            1,3,bob@x.com,,X
        """,
        lines={
            2: "email.belongs_to_another row.ambiguous_customer",
            3: "mobile_phone.belongs_to_another row.ambiguous_customer",
            4: "row.ambiguous_customer",
            5: "email.belongs_to_another external_identity_pos.belongs_to_another row.ambiguous_customer",
        },
    ),
    Case(
        "CU-03 a new identifier that another customer has rejects the row, one that nobody has is given",
        before=THREE,
        file="""
            ExternalIdentityWebsite,ExternalIdentityPos,Email,MobilePhone
            ,3,bob@x.com,
            ,3,,+12125550102
            ,3,,+12125550103
            2,8,,
        """,
        lines={
            2: "email.belongs_to_another row.ambiguous_customer",
            3: "row.ambiguous_customer",
            4: "updated",
            5: "updated",
        },
        after="""
            1 website=1 pos=9 email=ann@x.com mobile_phone=+12125550101
            2 website=2 pos=8 email=bob@x.com mobile_phone=+12125550102
            3 pos=3 email=cem@x.com mobile_phone=+12125550103
        """,
        changes={4: {"mobile_phone": (None, "+12125550103")}, 5: {"pos": (None, "8")}},
    ),
    Case(
        "CU-03 a new e-mail or phone takes the place of the old one, which is free then",
        before=THREE,
        file="""
            ExternalIdentityWebsite,Email,MobilePhone
            1,new@x.com,
            1,,+12125550109
            ,ann@x.com,
            ,,+12125550101
        """,
        lines={2: "updated", 3: "updated", 4: "inserted", 5: "inserted"},
        after="""
            1 website=1 pos=9 email=new@x.com mobile_phone=+12125550109
            2 website=2 email=bob@x.com mobile_phone=+12125550102
            3 pos=3 email=cem@x.com
            +4 email=ann@x.com
            +5 mobile_phone=+12125550101
        """,
        changes={2: {"email": ("ann@x.com", "new@x.com")}, 3: {"mobile_phone": ("+12125550101", "+12125550109")}},
    ),
    Case(
        "CU-03 an external identifier is not replaced through an e-mail or phone",
        before=THREE,
        file="""
            ExternalIdentityWebsite,ExternalIdentityPos,Email,MobilePhone,FirstName
            11,,ann@x.com,,X
            ,33,CEM@x.com,,X
            12,34,,+12125550101,X
            2,,bob@x.com,,B
            4,,cem@x.com,,C
            1,,,,A
        """,
        lines={
            2: "external_id.differs", 3: "external_id.differs", 4: "external_id.differs",
            5: "updated", 6: "updated", 7: "updated",
        },
        after="""
            1 website=1 pos=9 email=ann@x.com mobile_phone=+12125550101 first_name=A
            2 website=2 email=bob@x.com mobile_phone=+12125550102 first_name=B
            3 pos=3 website=4 email=cem@x.com first_name=C
        """,
        changes={
            5: {"first_name": (None, "B")}, 6: {"website": (None, "4"), "first_name": (None, "C")},
            7: {"first_name": (None, "A")},
        },
    ),
    Case(
        "CU-03 the suite's rejects are told of a differing identifier as well, and a row that comes twice both times",
        before=THREE,
        file="""
            ExternalIdentityWebsite,Email,Sex
            11,ann@x.com,x
            22,bob@x.com,
            22,bob@x.com,
        """,
        lines={
            2: "external_id.differs sex.unknown_choice", 3: "external_id.differs", 4: "external_id.differs",
        },
    ),
    Case(
        "CU-03 an external identifier is replaced through another one, and that is told",
        before=THREE,
        file="""
            ExternalIdentityWebsite,ExternalIdentityPos,Email
            ,10,ann@x.com
            11,9,
        """,
        lines={2: "external_id.differs", 3: "updated"},
        after="""
            1 website=11 pos=9 email=ann@x.com mobile_phone=+12125550101
            2 website=2 email=bob@x.com mobile_phone=+12125550102
            3 pos=3 email=cem@x.com
        """,
        changes={3: {"website": ("1", "11")}},
        warnings={"external_id.replaced": {3}},
    ),
    Case(
        "CU-03 rows that name different values of one system are different customers, whatever they share",
        before="1 email=old@x.com mobile_phone=+12125550109",
        file="""
            ExternalIdentityWebsite,ExternalIdentityPos,Email,MobilePhone,FirstName
            1,,ann@x.com,+12125550101,A
            2,,ANN@x.com,+12125550101,X
            3,7,,+12125550101,X
            1,7,,,A
            4,7,,,X
            5,,old@x.com,,E
            6,,,+12125550109,X
            ,,ann@x.com,,Al
        """,
        lines={
            2: "inserted",
            3: "email.belongs_to_another mobile_phone.belongs_to_another",
            4: "mobile_phone.belongs_to_another",
            5: "updated",
            6: "external_identity_pos.belongs_to_another",
            7: "updated",
            8: "mobile_phone.belongs_to_another",
            9: "updated",
        },
        after="""
            1 email=old@x.com mobile_phone=+12125550109 website=5 first_name=E
            +2 website=1 pos=7 email=ann@x.com mobile_phone=+12125550101 first_name=Al
        """,
        changes={
            5: {"pos": (None, "7")}, 7: {"website": (None, "5"), "first_name": (None, "E")},
            9: {"first_name": (None, "Al")},
        },
    ),
    Case(
        "CU-03 different names of one file stay different with replace_external_ids as well",
        before="1 website=1 email=ann@x.com",
        file="""
            ExternalIdentityWebsite,Email
            2,ann@x.com
            3,ann@x.com
            2,bob@x.com
        """,
        settings={"replace_external_ids": True},
        lines={2: "updated", 3: "email.belongs_to_another", 4: "updated"},
        after="1 website=2 email=bob@x.com",
        changes={2: {"website": ("1", "2")}, 4: {"email": ("ann@x.com", "bob@x.com")}},
        warnings={"external_id.replaced": {2}, "row.not_repeatable": {3}},
    ),
    Case(
        "CU-03 what a row has cleared does not make a customer anybody's",
        file="""
            ExternalIdentityWebsite,Email
            1,ann@x.com
            %CLEAR%,ann@x.com
            2,ann@x.com
        """,
        lines={2: "inserted", 3: "unchanged", 4: "email.belongs_to_another"},
        after="+2 email=ann@x.com",
        warnings={},
    ),
    Case(
        "CU-03 an external identifier that is replaced is told of",
        before=THREE,
        file="""
            ExternalIdentityWebsite,ExternalIdentityPos,Email,MobilePhone
            11,,ann@x.com,
            ,33,CEM@x.com,
            2,,bob@x.com,
            4,,cem@x.com,
            1,,,
        """,
        settings={"replace_external_ids": True},
        lines={2: "updated", 3: "updated", 4: "unchanged", 5: "updated", 6: "inserted"},
        after="""
            1 website=11 pos=9 email=ann@x.com mobile_phone=+12125550101
            2 website=2 email=bob@x.com mobile_phone=+12125550102
            3 pos=33 website=4 email=cem@x.com
            +6 website=1
        """,
        changes={2: {"website": ("1", "11")}, 3: {"pos": ("3", "33")}, 5: {"website": (None, "4")}},
        warnings={"external_id.replaced": {2, 3}},
    ),
    Case(
        "CU-03 an identifier moves from a customer to another one in two steps",
        before=THREE,
        file="""
            ExternalIdentityWebsite,Email,MobilePhone,FirstName
            1,,%CLEAR%,
            2,,+12125550101,
            ,,+12125550101,B
            1,tmp@x.com,,
            2,ann@x.com,,
            ,ann@x.com,,Bo
        """,
        lines={2: "updated", 3: "updated", 4: "unchanged", 5: "updated", 6: "updated", 7: "updated"},
        after="""
            1 website=1 pos=9 email=tmp@x.com
            2 website=2 email=ann@x.com mobile_phone=+12125550101 first_name=Bo
            3 pos=3 email=cem@x.com
        """,
        changes={
            2: {"mobile_phone": ("+12125550101", None)},
            3: {"mobile_phone": ("+12125550102", "+12125550101")},
            5: {"email": ("ann@x.com", "tmp@x.com")},
            6: {"email": ("bob@x.com", "ann@x.com")},
            7: {"first_name": (None, "Bo")},
        },
    ),
    Case(
        "CU-03 swapped e-mails within one file reject both rows",
        before=THREE,
        file="""
            ExternalIdentityWebsite,Email,FirstName
            1,bob@x.com,A
            2,ann@x.com,B
        """,
        lines={
            2: "email.belongs_to_another row.ambiguous_customer",
            3: "email.belongs_to_another row.ambiguous_customer",
        },
    ),
    Case(
        "CU-03 e-mails are swapped where a row sets one of them aside",
        before=THREE,
        file="""
            ExternalIdentityWebsite,Email
            1,aside@x.com
            2,ann@x.com
            1,bob@x.com
        """,
        lines={2: "unchanged", 3: "updated", 4: "updated"},
        after="""
            1 website=1 pos=9 email=bob@x.com mobile_phone=+12125550101
            2 website=2 email=ann@x.com mobile_phone=+12125550102
            3 pos=3 email=cem@x.com
        """,
        changes={3: {"email": ("bob@x.com", "ann@x.com")}, 4: {"email": ("ann@x.com", "bob@x.com")}},
    ),
    Case(
        "CU-03 external identifiers and phones of three customers go round",
        before="""
            1 website=1 mobile_phone=+12125550101 email=a@x.com
            2 website=2 mobile_phone=+12125550102 email=b@x.com
            3 website=3 mobile_phone=+12125550103 email=c@x.com
        """,
        file="""
            ExternalIdentityWebsite,MobilePhone,Email
            %CLEAR%,%CLEAR%,a@x.com
            1,+12125550101,b@x.com
            2,+12125550102,c@x.com
            3,+12125550103,a@x.com
        """,
        settings={"replace_external_ids": True},
        lines={2: "unchanged", 3: "updated", 4: "updated", 5: "updated"},
        after="""
            1 website=3 mobile_phone=+12125550103 email=a@x.com
            2 website=1 mobile_phone=+12125550101 email=b@x.com
            3 website=2 mobile_phone=+12125550102 email=c@x.com
        """,
        changes={
            3: {"website": ("2", "1"), "mobile_phone": ("+12125550102", "+12125550101")},
            4: {"website": ("3", "2"), "mobile_phone": ("+12125550103", "+12125550102")},
            5: {"website": ("1", "3"), "mobile_phone": ("+12125550101", "+12125550103")},
        },
        warnings={"external_id.replaced": {3, 4}},
    ),
    Case(
        "CU-03 rows that only become matchable through an earlier row of the file",
        before="1 website=1",
        file="""
            ExternalIdentityWebsite,Email,MobilePhone,ExternalIdentityPos,Area
            1,ann@x.com,,,
            ,ANN@x.com,+12125550101,,
            ,,+12125550101,7,
            ,,,7,Rome
            ,bob@x.com,,,
            ,bob@x.com,,8,
            ,,,8,Oslo
        """,
        lines={2: "updated", 3: "updated", 4: "updated", 5: "updated", 6: "inserted", 7: "updated", 8: "updated"},
        after="""
            1 website=1 email=ann@x.com mobile_phone=+12125550101 pos=7 area=Rome
            +6 email=bob@x.com pos=8 area=Oslo
        """,
        changes={
            2: {"email": (None, "ann@x.com")}, 3: {"mobile_phone": (None, "+12125550101")}, 4: {"pos": (None, "7")},
            5: {"area": (None, "Rome")}, 7: {"pos": (None, "8")}, 8: {"area": (None, "Oslo")},
        },
    ),
    Case(
        "CU-03 a chain in the wrong order makes two customers that nothing merges",
        file="""
            ExternalIdentityWebsite,Email
            ,ann@x.com
            1,
            1,ann@x.com
            1,ann@x.com
        """,
        lines={2: "inserted", 3: "inserted", 4: "row.ambiguous_customer", 5: "row.ambiguous_customer"},
        after="""
            +2 email=ann@x.com
            +3 website=1
        """,
    ),
    Case(
        "CU-03 edit existing finds rows through earlier ones as well, and what an earlier row let go is not found",
        before="1 website=1 email=ann@x.com",
        file="""
            ExternalIdentityWebsite,Email,Area
            ,new@x.com,X
            1,new@x.com,
            ,new@x.com,Rome
            ,ann@x.com,Y
        """,
        settings={"action": "edit_existing"},
        lines={2: "not_found", 3: "updated", 4: "updated", 5: "not_found"},
        after="1 website=1 email=new@x.com area=Rome",
        changes={3: {"email": ("ann@x.com", "new@x.com")}, 4: {"area": (None, "Rome")}},
        warnings={"row.not_repeatable": {2}},
    ),
    Case(
        "CU-03 what a rejected row would have moved stays where it is",
        before=THREE,
        file="""
            ExternalIdentityWebsite,Email,Sex,FirstName
            1,new@x.com,x,
            ,new@x.com,,N
            ,ann@x.com,,A
        """,
        lines={2: "sex.unknown_choice", 3: "inserted", 4: "updated"},
        after="""
            1 website=1 pos=9 email=ann@x.com mobile_phone=+12125550101 first_name=A
            2 website=2 email=bob@x.com mobile_phone=+12125550102
            3 pos=3 email=cem@x.com
            +3 email=new@x.com first_name=N
        """,
        changes={4: {"first_name": (None, "A")}},
    ),
    Case(
        "CU-03 an ambiguous row moves nothing for the rows behind it",
        before=THREE,
        file="""
            ExternalIdentityWebsite,ExternalIdentityPos,Email
            1,77,bob@x.com
            ,77,
            1,,bob@x.com
        """,
        lines={
            2: "email.belongs_to_another row.ambiguous_customer",
            3: "inserted",
            4: "email.belongs_to_another row.ambiguous_customer",
        },
        after="""
            1 website=1 pos=9 email=ann@x.com mobile_phone=+12125550101
            2 website=2 email=bob@x.com mobile_phone=+12125550102
            3 pos=3 email=cem@x.com
            +3 pos=77
        """,
    ),
    Case(
        "CU-04 the only identifier of a customer is not cleared",
        before="""
            1 email=ann@x.com
            2 website=2
            3 mobile_phone=+12125550103
        """,
        file="""
            ExternalIdentityWebsite,Email,MobilePhone,DiscountCard
            ,%CLEAR%,,7
            %CLEAR%,,,7
            ,,%CLEAR%,7
            %CLEAR%,%CLEAR%,%CLEAR%,7
        """,
        lines=dict.fromkeys((2, 3, 4, 5), "row.no_identifier"),
    ),
    Case(
        "CU-04 clearing identifiers one after the other leaves the one that finds the row",
        before="1 website=1 pos=9 email=ann@x.com mobile_phone=+12125550101",
        file="""
            ExternalIdentityWebsite,ExternalIdentityPos,Email,MobilePhone
            1,%CLEAR%,,
            ,,ann@x.com,%CLEAR%
            %CLEAR%,,ann@x.com,
            1,,,
            ,,,+12125550101
        """,
        lines={2: "updated", 3: "updated", 4: "updated", 5: "inserted", 6: "inserted"},
        after="""
            1 email=ann@x.com
            +5 website=1
            +6 mobile_phone=+12125550101
        """,
        changes={2: {"pos": ("9", None)}, 3: {"mobile_phone": ("+12125550101", None)}, 4: {"website": ("1", None)}},
        warnings={"row.not_repeatable": {2}},
    ),
    Case(
        "CU-04 an identifier that a row has cleared is free for the next one, and its first customer can have it back",
        before="1 website=1 email=ann@x.com",
        file="""
            ExternalIdentityWebsite,Email
            1,%CLEAR%
            1,ann@x.com
        """,
        lines={2: "unchanged", 3: "unchanged"},
    ),
    Case(
        "CU-13 a placeholder e-mail that many rows give makes them one customer",
        file="""
            Email,FirstName,ExternalIdentityWebsite
            no@mail.com,A,
            no@mail.com,B,
            NO@mail.com,C,5
            no@mail.com,D,
            no@mail.com,D,6
        """,
        lines={2: "inserted", 3: "unchanged", 4: "updated", 5: "updated", 6: "email.belongs_to_another"},
        after="+2 email=no@mail.com first_name=D website=5",
        changes={4: {"website": (None, "5")}, 5: {"first_name": (None, "D")}},
    ),
    Case(
        "CU-03 a placeholder phone finds the customer who got it first, and whom the file calls otherwise is rejected",
        before="""
            1 website=1
            2 website=2
        """,
        file="""
            ExternalIdentityWebsite,MobilePhone,FirstName
            1,+12125550100,A
            2,+12125550100,B
            3,+12125550100,C
            4,+12125550100,D
        """,
        lines={
            2: "updated", 3: "row.ambiguous_customer", 4: "mobile_phone.belongs_to_another",
            5: "mobile_phone.belongs_to_another",
        },
        after="""
            1 website=1 mobile_phone=+12125550100 first_name=A
            2 website=2
        """,
        changes={2: {"mobile_phone": (None, "+12125550100"), "first_name": (None, "A")}},
    ),
    Case(
        "CU-13 e-mails that differ by case are one, and the spelling that stands there stays",
        before="1 email=Ann@x.com website=1",
        file="""
            Email,ExternalIdentityWebsite,Area
            ANN@X.com,,Rome
            bob@x.com,1,
            aNN@x.com,1,
            Cem@x.com,,
            CEM@x.com,,Oslo
        """,
        lines={2: "updated", 3: "unchanged", 4: "unchanged", 5: "inserted", 6: "updated"},
        after="""
            1 email=Ann@x.com website=1 area=Rome
            +5 email=Cem@x.com area=Oslo
        """,
        changes={2: {"area": (None, "Rome")}, 6: {"area": (None, "Oslo")}},
    ),
    Case(
        "CU-13 case twins of a new e-mail: the first spelling is kept",
        before="1 website=1",
        file="""
            ExternalIdentityWebsite,Email
            1,Ann@x.com
            1,ANN@x.com
            ,ann@x.com
        """,
        lines={2: "updated", 3: "unchanged", 4: "unchanged"},
        after="1 website=1 email=Ann@x.com",
        changes={2: {"email": (None, "Ann@x.com")}},
    ),
    Case(
        "X-08 a row that the suite rejects is told of two customers as well, as they were before the file",
        before=THREE,
        file="""
            ExternalIdentityWebsite,Email,Sex
            1,bob@x.com,x
            1,free@x.com,x
            1,tmp@x.com,
            2,ann@x.com,
            1,bob@x.com,x
            1,ann@x.com,x
        """,
        lines={
            2: "row.ambiguous_customer sex.unknown_choice",
            3: "sex.unknown_choice",
            4: "updated",
            5: "updated",
            6: "row.ambiguous_customer sex.unknown_choice",
            7: "sex.unknown_choice",
        },
        after="""
            1 website=1 pos=9 email=tmp@x.com mobile_phone=+12125550101
            2 website=2 email=ann@x.com mobile_phone=+12125550102
            3 pos=3 email=cem@x.com
        """,
        changes={4: {"email": ("ann@x.com", "tmp@x.com")}, 5: {"email": ("bob@x.com", "ann@x.com")}},
    ),
    Case(
        "CU-03 a new customer takes what an earlier row of the file let go",
        before="1 website=1 email=ann@x.com mobile_phone=+12125550101",
        file="""
            ExternalIdentityWebsite,Email,MobilePhone
            1,new@x.com,%CLEAR%
            2,ann@x.com,+12125550101
        """,
        lines={2: "updated", 3: "inserted"},
        after="""
            1 website=1 email=new@x.com
            +3 website=2 email=ann@x.com mobile_phone=+12125550101
        """,
        changes={2: {"email": ("ann@x.com", "new@x.com"), "mobile_phone": ("+12125550101", None)}},
    ),
    Case(
        "CU-03 a customer of this file gives its identifiers to another one of this file",
        file="""
            ExternalIdentityWebsite,Email,FirstName
            1,a@x.com,
            2,b@x.com,
            1,c@x.com,
            2,a@x.com,
            1,b@x.com,
            ,a@x.com,Two
            ,b@x.com,One
        """,
        lines={2: "inserted", 3: "inserted", 4: "unchanged", 5: "updated", 6: "updated", 7: "updated", 8: "updated"},
        after="""
            +2 website=1 email=b@x.com first_name=One
            +3 website=2 email=a@x.com first_name=Two
        """,
        changes={
            5: {"email": (None, "a@x.com")}, 6: {"email": (None, "b@x.com")}, 7: {"first_name": (None, "Two")},
            8: {"first_name": (None, "One")},
        },
        warnings={"row.not_repeatable": {2, 3}},
    ),
)  # fmt: skip
def test_identifiers(scene: Scene, case: Case):
    check(scene, case)
