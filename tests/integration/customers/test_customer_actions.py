"""Subscriptions, points of contact, segments, actions and their times. Source: CU-05 to CU-11."""

from __future__ import annotations

import pytest

from tests.imports import counts
from tests.integration.customers.cases import Case, cases, check
from tests.integration.customers.scenes import Scene, dedented

pytestmark = pytest.mark.integration

TAKE_TEMPLATE = {"take_action_template_from_file": True}
TAKE_CONTACT = {"take_point_of_contact_from_file": True}
TAKE_BOTH = TAKE_TEMPLATE | TAKE_CONTACT


@cases(
    Case(
        "CU-06 subscriptions are to the brand of the default data source's point of contact",
        before="1 email=ann@x.com Demo=no",
        file="""
            Email,IsSubscribed,IsSubscribedByEmail,IsSubscribedByEmailOnNews,IsSubscribedByMobilePushOnOffers
            ann@x.com,yes,,true,
            bob@x.com,,no,,1
        """,
        lines={2: "updated", 3: "inserted"},
        after="""
            1 email=ann@x.com Demo=no Acme=yes Acme/Email/News=yes
            +3 email=bob@x.com Acme/Email=no Acme/MobilePush/Offers=yes
        """,
        changes={2: {"Acme": (None, "yes"), "Acme/Email/News": (None, "yes")}},
        subscriptions=(
            "1 Acme=yes: Admin panel, launched",
            "1 Acme/Email/News=yes: Admin panel, launched",
            "+3 Acme/Email=no: Admin panel, launched",
            "+3 Acme/MobilePush/Offers=yes: Admin panel, launched",
        ),
    ),
    Case(
        "CU-06 a data source subscribes to its own brand",
        before="1 email=ann@x.com Acme=no",
        file="""
            Email,IsSubscribed
            ann@x.com,yes
        """,
        settings={"data_source": "Demo site"},
        lines={2: "updated"},
        after="1 email=ann@x.com Acme=no Demo=yes",
        changes={2: {"Demo": (None, "yes")}},
        subscriptions=("1 Demo=yes: Demo site, launched",),
    ),
    Case(
        "CU-06 an explicit point of contact decides the brand, the data source stays",
        file="""
            Email,IsSubscribed
            ann@x.com,yes
        """,
        settings={"data_source": "Tills", "point_of_contact": "site-demo"},
        lines={2: "inserted"},
        after="+2 email=ann@x.com Demo=yes",
        subscriptions=("+2 Demo=yes: Tills, launched",),
    ),
    Case(
        "CU-06 a row's own point of contact never changes the brand",
        before="1 email=ann@x.com",
        file="""
            Email,IsSubscribed,LastUpdatePointOfContact,LastUpdateActionTemplate
            ann@x.com,yes,site-demo,EditedInCrm
        """,
        settings=TAKE_BOTH,
        lines={2: "updated"},
        after="1 email=ann@x.com Acme=yes",
        changes={2: {"Acme": (None, "yes")}},
        subscriptions=("1 Acme=yes: Admin panel, launched",),
        actions=("2: edit of 1, EditedInCrm, Admin panel, site-demo, launched",),
    ),
    Case(
        "CU-06 each change of a subscription keeps its own row's time",
        before="1 email=ann@x.com Acme=yes Acme/Sms=yes",
        file="""
            Email,IsSubscribed,IsSubscribedByEmail,IsSubscribedBySms,LastUpdateDateTime,SourceDateTime
            ann@x.com,no,,,2024-01-02 10:00,2021-01-01
            ann@x.com,,yes,,2024-01-03 10:00,
            ann@x.com,no,yes,,2024-01-04 10:00,
            ann@x.com,,,yes,2024-01-05 10:00,
            bob@x.com,yes,,,2024-01-06 10:00,2022-01-01
            bob@x.com,,yes,,2024-01-07 10:00,2022-01-02
            bob@x.com,,,no,,2022-01-03
        """,
        lines={2: "updated", 3: "updated", 4: "unchanged", 5: "unchanged", 6: "inserted", 7: "updated", 8: "updated"},
        after="""
            1 email=ann@x.com Acme=no Acme/Email=yes Acme/Sms=yes
            +6 email=bob@x.com Acme=yes Acme/Email=yes Acme/Sms=no
        """,
        changes={
            2: {"Acme": ("yes", "no")}, 3: {"Acme/Email": (None, "yes")}, 7: {"Acme/Email": (None, "yes")},
            8: {"Acme/Sms": (None, "no")},
        },
        subscriptions=(
            "1 Acme=no: Admin panel, 2024-01-02 10:00",
            "1 Acme/Email=yes: Admin panel, 2024-01-03 10:00",
            "+6 Acme=yes: Admin panel, 2022-01-01 00:00",
            "+6 Acme/Email=yes: Admin panel, 2024-01-07 10:00",
            "+6 Acme/Sms=no: Admin panel, launched",
        ),
        created_at={"+6": "2022-01-01 00:00"},
    ),
    Case(
        "CU-06 erasing an answer keeps when it was erased; what was never answered is not erased",
        before="1 email=ann@x.com Acme=yes Acme/Email=erased",
        file="""
            Email,IsSubscribed,IsSubscribedByEmail,IsSubscribedBySms
            ann@x.com,%CLEAR%,%CLEAR%,%CLEAR%
        """,
        lines={2: "updated"},
        after="1 email=ann@x.com Acme=erased Acme/Email=erased",
        changes={2: {"Acme": ("yes", None)}},
        subscriptions=("1 Acme=None: Admin panel, launched",),
    ),
    Case(
        "CU-06 an erased answer can be given again",
        before="1 email=ann@x.com Acme=erased",
        file="""
            Email,IsSubscribed
            ann@x.com,no
        """,
        lines={2: "updated"},
        after="1 email=ann@x.com Acme=no",
        changes={2: {"Acme": (None, "no")}},
        subscriptions=("1 Acme=no: Admin panel, launched",),
    ),
    Case(
        "CU-07 the file's point of contact wins over the explicit one, and that over the data source's",
        before="""
            1 email=ann@x.com
            2 email=bob@x.com
        """,
        file="""
            Email,Area,LastUpdatePointOfContact,SourcePointOfContact,SourceActionTemplate
            ann@x.com,Rome,site-main,site-demo,ImportedFromCrm
            bob@x.com,Rome,,site-demo,ImportedFromCrm
            cem@x.com,Rome,site-main,site-demo,ImportedFromCrm
            dov@x.com,Rome,site-main,,ImportedFromCrm
            eva@x.com,Rome,,,ImportedFromCrm
        """,
        settings=TAKE_BOTH | {"data_source": "Demo site", "point_of_contact": "shop-7"},
        lines={2: "updated", 3: "updated", 4: "inserted", 5: "inserted", 6: "inserted"},
        after="""
            1 email=ann@x.com area=Rome
            2 email=bob@x.com area=Rome
            +4 email=cem@x.com area=Rome
            +5 email=dov@x.com area=Rome
            +6 email=eva@x.com area=Rome
        """,
        changes={2: {"area": (None, "Rome")}, 3: {"area": (None, "Rome")}},
        actions=(
            "2: edit of 1, ImportedFromCrm, Demo site, site-main, launched",
            "3: edit of 2, ImportedFromCrm, Demo site, site-demo, launched",
            "4: creation of +4, ImportedFromCrm, Demo site, site-demo, launched",
            "5: creation of +5, ImportedFromCrm, Demo site, site-main, launched",
            "6: creation of +6, ImportedFromCrm, Demo site, shop-7, launched",
        ),
    ),
    Case(
        "CU-07 columns whose settings are off are ignored, unknown values in them too",
        before="1 email=ann@x.com",
        file="""
            Email,Area,LastUpdatePointOfContact,SourcePointOfContact,LastUpdateActionTemplate,SourceActionTemplate
            ann@x.com,Rome,nowhere,nowhere,EditedInCrm,ImportedFromCrm
            bob@x.com,Oslo,nowhere,nowhere,Nothing,Nothing
        """,
        lines={2: "updated", 3: "inserted"},
        after="""
            1 email=ann@x.com area=Rome
            +3 email=bob@x.com area=Oslo
        """,
        changes={2: {"area": (None, "Rome")}},
    ),
    Case(
        "CU-08 an unknown point of contact rejects its row, the brand's own name is none",
        before="1 email=ann@x.com",
        file="""
            Email,Area,LastUpdatePointOfContact,SourcePointOfContact
            ann@x.com,Rome,nowhere,
            ann@x.com,Oslo,,Acme
            ann@x.com,Lima,shop-7,
        """,
        settings=TAKE_CONTACT,
        lines={2: "last_update_point_of_contact.unknown", 3: "source_point_of_contact.unknown", 4: "updated"},
        after="1 email=ann@x.com area=Lima",
        changes={4: {"area": (None, "Lima")}},
    ),
    Case(
        "CU-08 unknown columns of topics and custom fields are skipped and the row loads",
        before="1 email=ann@x.com",
        file="""
            Email,IsSubscribedByEmailOnWeather,CustomFieldShoeSize,IsSubscribedByPigeon,Area
            ann@x.com,perhaps,42,x,Rome
        """,
        lines={2: "updated"},
        after="1 email=ann@x.com area=Rome",
        changes={2: {"area": (None, "Rome")}},
    ),
    Case(
        "CU-09 every customer of the file is a member, unchanged ones too, rejected rows not",
        before="""
            1 email=ann@x.com
            2 email=bob@x.com
            3 email=cem@x.com
            4 website=4
        """,
        file="""
            Email,Sex,ExternalIdentityWebsite
            ann@x.com,f,
            bob@x.com,,
            cem@x.com,x,
            bob@x.com,,4
            dov@x.com,,
            bob@x.com,,
        """,
        settings={"segment": "vip-2024"},
        lines={2: "updated", 3: "unchanged", 4: "sex.unknown_choice", 5: "row.ambiguous_customer", 6: "inserted",
               7: "unchanged"},
        after="""
            1 email=ann@x.com sex=female
            2 email=bob@x.com
            3 email=cem@x.com
            4 website=4
            +6 email=dov@x.com
        """,
        changes={2: {"sex": (None, "female")}},
        members={"vip-2024": "+6 1 2"},
    ),
    Case(
        "CU-09 a segment that does not exist is made",
        before="1 email=ann@x.com",
        file="""
            Email
            ann@x.com
            bob@x.com
        """,
        settings={"segment": "Spring 2026", "action": "edit_existing"},
        lines={2: "unchanged", 3: "not_found"},
        members={"Spring 2026": "1"},
    ),
    Case(
        "CU-09 a segment that nobody would join is not made",
        file="""
            Email,Sex
            ann@x.com,x
            bob@x.com,
        """,
        settings={"segment": "Spring 2026", "action": "edit_existing"},
        lines={2: "sex.unknown_choice", 3: "not_found"},
    ),
    Case(
        "CU-10 an edit is recorded only for a real change with a template of the category Personal action",
        before="""
            1 email=ann@x.com area=Rome
            2 email=bob@x.com
            3 email=cem@x.com
            4 email=dov@x.com
            5 email=eva@x.com
        """,
        file="""
            Email,Area,LastUpdateActionTemplate
            ann@x.com,Rome,EditedInCrm
            bob@x.com,Rome,EditedInCrm
            cem@x.com,Rome,NightlySync
            dov@x.com,Rome,Unheard
            eva@x.com,Rome,
        """,
        settings=TAKE_TEMPLATE,
        lines={2: "unchanged", 3: "updated", 4: "updated", 5: "updated", 6: "updated"},
        after="""
            1 email=ann@x.com area=Rome
            2 email=bob@x.com area=Rome
            3 email=cem@x.com area=Rome
            4 email=dov@x.com area=Rome
            5 email=eva@x.com area=Rome
        """,
        changes={line: {"area": (None, "Rome")} for line in (3, 4, 5, 6)},
        actions=("3: edit of 2, EditedInCrm, Admin panel, site-main, launched",),
        warnings={"last_update_action_template.unknown_template": {5}},
    ),
    Case(
        "CU-10 a change of a subscription, an identifier or a custom field is a real change",
        before="""
            1 email=ann@x.com
            2 email=bob@x.com
            3 email=cem@x.com
        """,
        file="""
            Email,IsSubscribed,ExternalIdentityPos,Visits,SourceActionTemplate
            ann@x.com,yes,,,ImportedFromCrm
            bob@x.com,,7,,ImportedFromCrm
            cem@x.com,,,1,ImportedFromCrm
        """,
        settings=TAKE_TEMPLATE,
        lines={2: "updated", 3: "updated", 4: "updated"},
        after="""
            1 email=ann@x.com Acme=yes
            2 email=bob@x.com pos=7
            3 email=cem@x.com Visits=1
        """,
        changes={2: {"Acme": (None, "yes")}, 3: {"pos": (None, "7")}, 4: {"Visits": (None, "1")}},
        subscriptions=("1 Acme=yes: Admin panel, launched",),
        actions=tuple(f"{n + 1}: edit of {n}, ImportedFromCrm, Admin panel, site-main, launched" for n in (1, 2, 3)),
    ),
    Case(
        "CU-10 joining a segment is no change of the customer",
        before="1 email=ann@x.com",
        file="""
            Email,SourceActionTemplate
            ann@x.com,ImportedFromCrm
        """,
        settings=TAKE_TEMPLATE | {"segment": "vip-2024"},
        lines={2: "unchanged"},
        members={"vip-2024": "1"},
    ),
    Case(
        "CU-10 the source's template serves creations, and edits when it is the only one",
        before="""
            1 email=ann@x.com
            2 email=bob@x.com
            3 email=cem@x.com
        """,
        file="""
            Email,Area,LastUpdateActionTemplate,SourceActionTemplate
            ann@x.com,Rome,EditedInCrm,ImportedFromCrm
            bob@x.com,Rome,,ImportedFromCrm
            cem@x.com,Rome,NightlySync,ImportedFromCrm
            dov@x.com,Rome,EditedInCrm,ImportedFromCrm
            eva@x.com,Rome,EditedInCrm,
            fay@x.com,Rome,EditedInCrm,NightlySync
        """,
        settings=TAKE_TEMPLATE,
        lines={2: "updated", 3: "updated", 4: "updated", 5: "inserted", 6: "inserted", 7: "inserted"},
        after="""
            1 email=ann@x.com area=Rome
            2 email=bob@x.com area=Rome
            3 email=cem@x.com area=Rome
            +5 email=dov@x.com area=Rome
            +6 email=eva@x.com area=Rome
            +7 email=fay@x.com area=Rome
        """,
        changes={line: {"area": (None, "Rome")} for line in (2, 3, 4)},
        actions=(
            "2: edit of 1, EditedInCrm, Admin panel, site-main, launched",
            "3: edit of 2, ImportedFromCrm, Admin panel, site-main, launched",
            "5: creation of +5, ImportedFromCrm, Admin panel, site-main, launched",
        ),
    ),
    Case(
        "CU-13 one action for each row that supplies a value of the net change, none for the others",
        before="1 email=ann@x.com",
        file="""
            Email,FirstName,Area,SourceActionTemplate
            ann@x.com,A,,ImportedFromCrm
            ann@x.com,Ann,Rome,ImportedFromCrm
            ann@x.com,,Rome,ImportedFromCrm
            ann@x.com,Anna,,EditedInCrm
            bob@x.com,B,,ImportedFromCrm
            bob@x.com,Bob,,EditedInCrm
        """,
        settings=TAKE_TEMPLATE,
        lines={2: "unchanged", 3: "updated", 4: "unchanged", 5: "updated", 6: "inserted", 7: "updated"},
        after="""
            1 email=ann@x.com first_name=Anna area=Rome
            +6 email=bob@x.com first_name=Bob
        """,
        changes={3: {"area": (None, "Rome")}, 5: {"first_name": (None, "Anna")}, 7: {"first_name": (None, "Bob")}},
        actions=(
            "3: edit of 1, ImportedFromCrm, Admin panel, site-main, launched",
            "5: edit of 1, EditedInCrm, Admin panel, site-main, launched",
            "6: creation of +6, ImportedFromCrm, Admin panel, site-main, launched",
            "7: edit of +6, EditedInCrm, Admin panel, site-main, launched",
        ),
    ),
    Case(
        "CU-11 the row's time backdates its action, and the creation of its customer",
        before="""
            1 email=ann@x.com
            2 email=bob@x.com
        """,
        file="""
            Email,Area,LastUpdateDateTime,SourceDateTime,SourceActionTemplate
            ann@x.com,Rome,2024-05-01 12:00+02:00,2020-02-02,ImportedFromCrm
            bob@x.com,Rome,,2020-02-02,ImportedFromCrm
            cem@x.com,Rome,2024-05-01 12:00+02:00,2020-02-02,ImportedFromCrm
            dov@x.com,Rome,2024-05-01 12:00+02:00,,ImportedFromCrm
            eva@x.com,Rome,,,ImportedFromCrm
        """,
        settings=TAKE_TEMPLATE,
        lines={2: "updated", 3: "updated", 4: "inserted", 5: "inserted", 6: "inserted"},
        after="""
            1 email=ann@x.com area=Rome
            2 email=bob@x.com area=Rome
            +4 email=cem@x.com area=Rome
            +5 email=dov@x.com area=Rome
            +6 email=eva@x.com area=Rome
        """,
        changes={2: {"area": (None, "Rome")}, 3: {"area": (None, "Rome")}},
        actions=(
            "2: edit of 1, ImportedFromCrm, Admin panel, site-main, 2024-05-01 10:00",
            "3: edit of 2, ImportedFromCrm, Admin panel, site-main, launched",
            "4: creation of +4, ImportedFromCrm, Admin panel, site-main, 2020-02-02 00:00",
            "5: creation of +5, ImportedFromCrm, Admin panel, site-main, 2024-05-01 10:00",
            "6: creation of +6, ImportedFromCrm, Admin panel, site-main, launched",
        ),
        created_at={"+4": "2020-02-02 00:00", "+5": "2024-05-01 10:00"},
    ),
    Case(
        "CU-11 a time in the future rejects the row",
        before="1 email=ann@x.com",
        file="""
            Email,Area,LastUpdateDateTime,SourceDateTime
            ann@x.com,Rome,2999-05-01,
            bob@x.com,Rome,,2999-05-01
        """,
        lines={2: "last_update_date_time.in_the_future", 3: "source_date_time.in_the_future"},
    ),
    Case(
        "CU-14 drop_value drops a time that is no time, never a point of contact",
        before="1 email=ann@x.com",
        file="""
            Email,Area,LastUpdateDateTime,LastUpdatePointOfContact,LastUpdateActionTemplate
            ann@x.com,Rome,2999-05-01,,EditedInCrm
            ann@x.com,Oslo,,nowhere,EditedInCrm
        """,
        settings=TAKE_BOTH | {"on_invalid_optional": "drop_value"},
        lines={2: "updated", 3: "last_update_point_of_contact.unknown"},
        after="1 email=ann@x.com area=Rome",
        changes={2: {"area": (None, "Rome")}},
        actions=("2: edit of 1, EditedInCrm, Admin panel, site-main, launched",),
    ),
)  # fmt: skip
def test_actions_and_subscriptions(scene: Scene, case: Case):
    check(scene, case)


def test_cu06_the_same_file_through_two_data_sources_subscribes_to_two_brands(scene: Scene):
    """X-13: the second is no repeat of the first, though no setting but the data source differs."""
    text = """
        Email,IsSubscribed
        ann@x.com,yes
    """
    scene.load(text, force=False)
    second = scene.load(text, force=False, data_source="Demo site")
    assert second.lines == {2: "updated"}
    assert second.customers() == {f"{second.result.job - 1}:2": {"email": "ann@x.com", "Acme": "yes", "Demo": "yes"}}
    again = scene.site.load("customers", dedented(text), data_source="Demo site")
    assert (again.state, again.duplicate_of) == ("duplicate", second.result.job)


def test_cu09_known_members_stay_as_they_are(scene: Scene):
    text = """
        Email
        ann@x.com
    """
    first = scene.load(text, segment="spring")
    rows = "SELECT * FROM loyalty.segment_member"
    before = scene.site.query(rows)
    assert [row[0] for row in before] == ["spring"]
    assert counts(scene.load(text, segment="spring").result) == {"read": 1, "unchanged": 1}
    assert scene.site.query(rows) == before
    assert first.result.rows.inserted == 1


def test_x19_a_dry_run_counts_and_changes_nothing(scene: Scene):
    scene.add("1 email=ann@x.com Acme=no website=1")
    loaded = scene.load(
        """
        Email,ExternalIdentityWebsite,IsSubscribed,SourceActionTemplate,Sex
        ann@x.com,,yes,ImportedFromCrm,
        bob@x.com,2,yes,ImportedFromCrm,
        bob@x.com,1,,,
        bob@x.com,,,,x
        bob@x.com,,,,f
        """,
        dry_run=True,
        segment="spring",
        take_action_template_from_file=True,
    )  # `load` has compared the tables with those before
    assert loaded.lines == {
        2: "updated", 3: "inserted", 4: "email.belongs_to_another row.ambiguous_customer",
        5: "sex.unknown_choice", 6: "updated",
    }  # fmt: skip
