"""What the load decides of single rows by sets and of entangled ones by a loop, each in both ways."""

from __future__ import annotations

import pytest

from tests.integration.customers.cases import Case, cases, check
from tests.integration.customers.scenes import Scene

pytestmark = pytest.mark.integration


@cases(
    Case(
        "CU-03 an ambiguous row is told of an identifier that is taken only where its customer has another one",
        before="""
            1 website=1
            2 email=bob@x.com
            3 website=3 email=cem@x.com
            4 email=dan@x.com
        """,
        file="""
            ExternalIdentityWebsite,Email
            1,bob@x.com
            3,dan@x.com
        """,
        lines={2: "row.ambiguous_customer", 3: "email.belongs_to_another row.ambiguous_customer"},
    ),
    Case(
        "CU-03 the same of rows that are entangled with others",
        before="""
            1 website=1
            2 email=bob@x.com
            3 website=3 email=cem@x.com
            4 email=dan@x.com
        """,
        file="""
            ExternalIdentityWebsite,Email,FirstName
            1,bob@x.com,Al
            1,,Al
            3,dan@x.com,Cem
            ,dan@x.com,Dan
        """,
        lines={
            2: "row.ambiguous_customer", 3: "updated", 4: "email.belongs_to_another row.ambiguous_customer",
            5: "updated",
        },
        after="""
            1 website=1 first_name=Al
            2 email=bob@x.com
            3 website=3 email=cem@x.com
            4 email=dan@x.com first_name=Dan
        """,
        changes={3: {"first_name": (None, "Al")}, 5: {"first_name": (None, "Dan")}},
    ),
    Case(
        "CU-12 a full name beside a part is ignored, also when it is the last of several rows",
        file="""
            Email,FullName,LastName
            ann@x.com,Ann Lee,
            ann@x.com,Dr. Lee,Lee
            bob@x.com,Dr. Stone,Stone
        """,
        lines={2: "inserted", 3: "updated", 4: "inserted"},
        after="""
            +2 email=ann@x.com full_name="Ann Lee" last_name=Lee
            +4 email=bob@x.com last_name=Stone
        """,
        changes={3: {"last_name": (None, "Lee")}},
    ),
)  # fmt: skip
def test_load(scene: Scene, case: Case):
    check(scene, case)
