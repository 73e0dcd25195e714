"""The project settings in the reference tables: idempotent, in one transaction, never pulling what is in use."""

import threading

import pytest
import sqlalchemy as sa
from sqlalchemy import text

from include.errors import ConfigurationError
from include.project.loader import load_project
from include.project.model import CustomField, DataSource, PointOfContact, Project, PromoCodeFormat
from include.project.sync import SyncCounts, reference_rows, sync, sync_in_turn

pytestmark = pytest.mark.integration

SHIPPED = load_project()
TABLES = tuple(reference_rows(SHIPPED))
POOL = """
    INSERT INTO loyalty.gift_card_pool
        (system_name, name, supports_arbitrary_value, supports_partial_redemption, product_external_id,
         product_external_system, brand, cvv_required)
    VALUES (:name, 'Pool', true, true, :name, :system, :brand, false)
"""
CARD = """
    INSERT INTO loyalty.gift_card (card_number, pool_system_name, balance, point_of_contact)
    VALUES (:number, :pool, 5, :point)
"""


def shipped_with(**changes) -> Project:
    return Project.model_validate(SHIPPED.model_dump() | changes)


def apply(warehouse, project: Project) -> dict[str, SyncCounts]:
    with warehouse.owner.begin() as connection:
        return sync(connection, project)


def refusal(warehouse, project: Project) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        apply(warehouse, project)
    return str(caught.value).splitlines()


def contents(warehouse) -> dict[str, list[tuple]]:
    with warehouse.owner.connect() as connection:
        return {
            table: [
                tuple(row)
                for row in connection.execute(text(f"SELECT {', '.join(rows[0])} FROM loyalty.{table} ORDER BY 1"))
            ]
            for table, rows in reference_rows(SHIPPED).items()
        }


def run(warehouse, statement: str, **values) -> None:
    with warehouse.owner.begin() as connection:
        connection.execute(text(statement), values)


@pytest.fixture
def shipped(warehouse):
    apply(warehouse, SHIPPED)
    return warehouse


def test_every_entry_is_in_its_table(shipped):
    assert contents(shipped) == {
        "brand": [("Acme",), ("Demo",)],
        "external_system": [("pos",), ("website",)],
        "point_of_contact": [("site-main", "Acme")],
        "data_source": [("Maestra Platform admin panel", "site-main", True)],
        "subscription_channel": [("Email",), ("MobilePush",), ("Sms",), ("Viber",), ("WebPush",)],
        "subscription_topic": [("News",), ("Offers",)],
        "external_identity": [("website",)],
        "custom_field": [("FavoriteColor", "string", None)],
        "action_template": [("ImportedFromCrm", "Personal action")],
        "segment": [("vip-2024", True)],
        "promo_code_format": [("summer", "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 10, "S-", "", None)],
    }


def test_the_counts_of_an_empty_warehouse(warehouse):
    apply(warehouse, Project())
    assert set(apply(warehouse, Project()).values()) == {SyncCounts()}
    counts = apply(warehouse, SHIPPED)
    assert counts["brand"] == SyncCounts(added=2)
    assert counts["subscription_channel"] == SyncCounts(added=5)
    assert set(counts) == set(TABLES)


def test_doing_it_again_changes_nothing(shipped):
    before = contents(shipped)
    with shipped.owner.connect() as connection:
        versions = [
            connection.scalar(text(f"SELECT string_agg(xmin::text, ',') FROM loyalty.{name}")) for name in TABLES
        ]
    counts = apply(shipped, SHIPPED)
    assert {(table.added, table.changed, table.removed) for table in counts.values()} == {(0, 0, 0)}
    assert sum(table.unchanged for table in counts.values()) == sum(len(rows) for rows in before.values())
    assert contents(shipped) == before
    with shipped.owner.connect() as connection:
        assert versions == [
            connection.scalar(text(f"SELECT string_agg(xmin::text, ',') FROM loyalty.{name}")) for name in TABLES
        ]


def test_entries_are_added_changed_and_removed(shipped):
    changed = shipped_with(
        brands=("Acme", "New"),
        points_of_contact=(PointOfContact(external_id="site-main", brand="New"),),
        custom_fields=(CustomField(name="FavoriteColor", type="enum", values=("red", "green")),),
        promo_code_formats=(PromoCodeFormat(name="summer", alphabet="AB", length=8, max_codes=5),),
        topics=(),
    )
    counts = apply(shipped, changed)
    assert counts["brand"] == SyncCounts(added=1, removed=1, unchanged=1)
    assert counts["point_of_contact"] == SyncCounts(changed=1)
    assert counts["custom_field"] == SyncCounts(changed=1)
    assert counts["promo_code_format"] == SyncCounts(changed=1)
    assert counts["subscription_topic"] == SyncCounts(removed=2)
    rows = contents(shipped)
    assert rows["brand"] == [("Acme",), ("New",)]
    assert rows["point_of_contact"] == [("site-main", "New")]
    assert rows["custom_field"] == [("FavoriteColor", "enum", ["red", "green"])]
    assert rows["promo_code_format"] == [("summer", "AB", 8, "", "", 5)]
    assert rows["subscription_topic"] == []


def test_entries_that_refer_to_each_other_are_removed_together(shipped):
    counts = apply(shipped, shipped_with(brands=("Demo",), points_of_contact=(), data_sources=()))
    assert [counts[name].removed for name in ("brand", "point_of_contact", "data_source")] == [1, 1, 1]


def test_cu07_the_default_data_source_moves(shipped):
    old, new = SHIPPED.data_sources[0], DataSource(name="Aaa", point_of_contact="site-main", is_default=True)
    without_default = old.model_copy(update={"is_default": False})
    apply(shipped, shipped_with(data_sources=(new, without_default)))
    assert contents(shipped)["data_source"] == [
        ("Aaa", "site-main", True),
        ("Maestra Platform admin panel", "site-main", False),
    ]
    counts = apply(shipped, shipped_with(data_sources=(new.model_copy(update={"is_default": False}), old)))
    assert counts["data_source"] == SyncCounts(changed=2)
    apply(shipped, shipped_with(data_sources=(new,)))
    assert contents(shipped)["data_source"] == [("Aaa", "site-main", True)]


def test_a_brand_in_use_is_not_removed_and_its_users_are_named(shipped):
    run(shipped, POOL, name="flexible", system="website", brand="Demo")
    before = contents(shipped)
    assert refusal(shipped, shipped_with(brands=("Acme",), topics=("Sales",))) == [
        "The brand 'Demo' can't be removed from the project settings: it is used by 1 gift card pool ('flexible'), "
        "1 technical product ('flexible')."
    ]
    assert contents(shipped) == before, "everything is one transaction: the new topic must not stay"


def test_all_entries_in_use_are_reported_at_once(shipped):
    for name in ("a", "b"):
        run(shipped, POOL, name=name, system="website", brand="Demo")
    messages = refusal(shipped, shipped_with(brands=("Acme",), external_systems=("pos",)))
    assert messages == [
        "The external system 'website' can't be removed from the project settings: it is used by 2 gift card pools "
        "('a' for one), 2 technical products ('a' for one).",
        "The brand 'Demo' can't be removed from the project settings: it is used by 2 gift card pools ('a' for one), "
        "2 technical products ('a' for one).",
    ]


def test_x20_cards_are_counted_never_named(shipped):
    run(shipped, POOL, name="pool", system="website", brand="Acme")
    for number in ("6030000000000001", "6030000000000002"):
        run(shipped, CARD, number=number, pool="pool", point="site-main")
    (message,) = refusal(shipped, shipped_with(points_of_contact=(), data_sources=()))
    assert message == (
        "The point of contact 'site-main' can't be removed from the project settings: it is used by 2 gift cards."
    )


def test_a_point_of_contact_without_cards_is_removed(shipped):
    second = PointOfContact(external_id="kiosk", brand="Demo")
    apply(shipped, shipped_with(points_of_contact=(*SHIPPED.points_of_contact, second)))
    run(shipped, POOL, name="pool", system="website", brand="Acme")
    run(shipped, CARD, number="1", pool="pool", point="site-main")
    assert apply(shipped, SHIPPED)["point_of_contact"] == SyncCounts(removed=1, unchanged=1)


def test_segments_made_by_imports_stay_until_the_settings_name_them(shipped):
    run(shipped, "INSERT INTO loyalty.segment (name, is_configured) VALUES ('from-file', false)")
    assert apply(shipped, SHIPPED)["segment"] == SyncCounts(unchanged=1)
    assert apply(shipped, shipped_with(segments=("vip-2024", "from-file")))["segment"] == SyncCounts(
        changed=1, unchanged=1
    )
    assert contents(shipped)["segment"] == [("from-file", True), ("vip-2024", True)]
    assert apply(shipped, shipped_with(segments=()))["segment"] == SyncCounts(removed=2)


def test_the_caller_s_transaction_decides(shipped):
    before = contents(shipped)
    with shipped.owner.connect() as connection:
        sync(connection, Project())
        connection.rollback()
    assert contents(shipped) == before


def test_two_at_once_go_one_after_the_other(shipped):
    project = shipped_with(brands=("Acme", "Demo", "Third"))
    counts: list[SyncCounts] = []
    with shipped.owner.connect() as first:
        sync(first, project)
        second = threading.Thread(target=lambda: counts.append(apply(shipped, project)["brand"]))
        second.start()
        wait_for_lock(shipped)
        first.commit()
        second.join(30)
    assert counts == [SyncCounts(unchanged=3)]


def test_a_use_that_is_not_committed_yet_is_waited_for(shipped):
    refusals: list[list[str]] = []
    with shipped.owner.connect() as user:
        user.execute(text(POOL), {"name": "late", "system": "website", "brand": "Demo"})
        syncing = threading.Thread(target=lambda: refusals.append(refusal(shipped, shipped_with(brands=("Acme",)))))
        syncing.start()
        wait_for_lock(shipped)
        user.commit()
        syncing.join(30)
    assert len(refusals) == 1
    assert refusals[0][0].startswith(
        "The brand 'Demo' can't be removed from the project settings: it is used by 1 gift card"
    )


def wait_for_lock(warehouse) -> None:
    """Return once a session of this database waits for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(600):
        with warehouse.admin.connect() as connection:
            if connection.scalar(query):
                return
            connection.execute(sa.select(sa.func.pg_sleep(0.05)))
    raise AssertionError("nobody waits for a lock")


# -- promo code formats (PP-03)

NARROW = PromoCodeFormat(name="summer", alphabet="AB", length=8)
CODE_POOL = "INSERT INTO loyalty.promo_code_pool (system_id, name, format) VALUES (:name, 'Pool', 'summer')"
GENERATED = "UPDATE loyalty.promo_code_format SET generated = 1200, next_index = 1200 WHERE name = 'summer'"


def test_pp03_a_format_that_has_produced_codes_is_neither_changed_nor_removed(shipped):
    run(shipped, GENERATED)
    before = contents(shipped)
    assert refusal(shipped, shipped_with(promo_code_formats=(NARROW,), brands=("Acme", "Demo", "New"))) == [
        "The promo code format 'summer' can't be changed in the project settings: 1,200 codes have been generated in "
        "it. Add a format of another name."
    ]
    assert refusal(shipped, shipped_with(promo_code_formats=())) == [
        "The promo code format 'summer' can't be removed from the project settings: it is used by 1,200 generated "
        "codes."
    ]
    assert contents(shipped) == before
    assert apply(shipped, SHIPPED)["promo_code_format"] == SyncCounts(unchanged=1)


def test_pp03_a_format_of_pools_is_not_removed_but_may_change_until_its_first_code(shipped):
    run(shipped, CODE_POOL, name="summer-sale")
    assert refusal(shipped, shipped_with(promo_code_formats=())) == [
        "The promo code format 'summer' can't be removed from the project settings: it is used by 1 promo code pool "
        "('summer-sale')."
    ]
    assert apply(shipped, shipped_with(promo_code_formats=(NARROW,)))["promo_code_format"] == SyncCounts(changed=1)


def test_pp03_uploaded_codes_in_its_space_do_not_hold_a_format(shipped):
    run(shipped, "INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('p', 'Pool')")
    run(shipped, "INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id) VALUES ('S-ABCDEFGH', 'p', 1)")
    assert apply(shipped, shipped_with(promo_code_formats=()))["promo_code_format"] == SyncCounts(removed=1)
    with shipped.owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM loyalty.promo_code_format_use")) == 0


def test_pp03_a_generation_that_is_going_on_is_waited_for(shipped):
    refusals: list[list[str]] = []
    with shipped.owner.connect() as generation:
        generation.execute(text(GENERATED))
        changed = shipped_with(promo_code_formats=(NARROW,))
        syncing = threading.Thread(target=lambda: refusals.append(refusal(shipped, changed)))
        syncing.start()
        wait_for_lock(shipped)
        generation.commit()
        syncing.join(30)
    assert len(refusals) == 1
    assert refusals[0][0].startswith(
        "The promo code format 'summer' can't be changed in the project settings: 1,200 codes"
    )


# -- custom fields (CU-08), and what rows of customers refer to

CUSTOMER = "INSERT INTO loyalty.customer (id, custom_fields) VALUES (:id, CAST(:fields AS jsonb))"


def test_a_custom_field_that_customers_have_values_of_is_not_removed_nor_of_another_type(shipped):
    for number in (1, 2):
        run(shipped, CUSTOMER, id=number, fields='{"FavoriteColor": "secret"}')
    before = contents(shipped)
    assert refusal(shipped, shipped_with(custom_fields=())) == [
        "The custom field 'FavoriteColor' can't be removed from the project settings: it is used by 2 customers."
    ]
    enum = CustomField(name="FavoriteColor", type="enum", values=("secret",))
    assert refusal(shipped, shipped_with(custom_fields=(enum,), topics=())) == [
        "The custom field 'FavoriteColor' can't become enum in the project settings: 2 customers have values of the "
        "type string. Add a field of another name."
    ]
    assert contents(shipped) == before
    run(shipped, "UPDATE loyalty.customer SET custom_fields = '{}'")
    assert apply(shipped, shipped_with(custom_fields=(enum,)))["custom_field"] == SyncCounts(changed=1)
    assert apply(shipped, shipped_with(custom_fields=()))["custom_field"] == SyncCounts(removed=1)


def test_an_enumeration_loses_only_values_that_no_customer_has(shipped):
    def moods(*values: str) -> Project:
        return shipped_with(custom_fields=(CustomField(name="Mood", type="enum", values=values),))

    apply(shipped, moods("good", "bad", "odd", "none"))
    for number, mood in enumerate(("good", "good", "bad")):
        run(shipped, CUSTOMER, id=number, fields=f'{{"Mood": "{mood}"}}')
    assert refusal(shipped, moods("new")) == [
        "The value 'bad' of the custom field 'Mood' can't be removed from the project settings: 1 customer has it.",
        "The value 'good' of the custom field 'Mood' can't be removed from the project settings: 2 customers have it.",
    ]
    assert apply(shipped, moods("new", "bad", "good"))["custom_field"] == SyncCounts(changed=1)


def test_a_custom_field_whose_first_value_is_not_committed_yet_is_waited_for(shipped):
    refusals: list[list[str]] = []
    with shipped.owner.connect() as user:
        user.execute(text(CUSTOMER), {"id": 1, "fields": '{"FavoriteColor": "red"}'})
        syncing = threading.Thread(target=lambda: refusals.append(refusal(shipped, shipped_with(custom_fields=()))))
        syncing.start()
        wait_for_lock(shipped)
        user.commit()
        syncing.join(30)
    assert refusals == [
        ["The custom field 'FavoriteColor' can't be removed from the project settings: it is used by 1 customer."]
    ]


def test_custom_fields_are_waited_for_before_any_row_is_locked(shipped):
    """A load holds its lock for long: meanwhile others go on."""
    changed = shipped_with(custom_fields=(), action_templates=())
    with shipped.owner.connect() as user:
        user.execute(text(CUSTOMER), {"id": 1, "fields": '{"FavoriteColor": "red"}'})
        syncing = threading.Thread(target=lambda: apply(shipped, changed))
        syncing.start()
        wait_for_lock(shipped)
        user.execute(text("SELECT FROM loyalty.action_template FOR KEY SHARE NOWAIT"))
        user.rollback()
        syncing.join(30)
    assert not syncing.is_alive()
    assert contents(shipped)["custom_field"] == []


def test_a_deadlock_with_another_is_tried_again(shipped):
    """The other one holds an entry that the settings remove, and wants one that they have just removed."""
    changed = shipped_with(external_systems=("pos",), topics=("News",))
    counts: list[SyncCounts] = []
    with shipped.admin.connect() as other:
        other.execute(text("SET LOCAL deadlock_timeout = '1h'"))  # the sync is the one that notices
        other.execute(text("SELECT FROM loyalty.external_system WHERE name = 'website' FOR KEY SHARE"))
        syncing = threading.Thread(
            target=lambda: counts.append(sync_in_turn(shipped.owner, changed)["subscription_topic"])
        )
        syncing.start()
        wait_for_lock(shipped)
        other.execute(text("SELECT FROM loyalty.subscription_topic WHERE name = 'Offers' FOR KEY SHARE"))
        other.rollback()
        syncing.join(30)
    assert counts == [SyncCounts(removed=1, unchanged=1)]


def test_x20_what_customers_refer_to_is_not_removed_and_customers_are_counted_never_named(shipped):
    run(shipped, "INSERT INTO loyalty.customer (id, email) VALUES (1, 'a@x.com')")
    run(shipped, "INSERT INTO loyalty.customer_external_id VALUES ('website', 'secret', 1)")
    run(
        shipped,
        "INSERT INTO loyalty.customer_subscription (customer_id, brand, channel, topic, changed_at)"
        " VALUES (1, 'Demo', 'Sms', 'News', now())",
    )
    run(shipped, "INSERT INTO loyalty.segment_member (segment, customer_id) VALUES ('vip-2024', 1)")
    changes = {"brands": ("Acme",), "channels": (), "topics": (), "external_identities": (), "segments": ()}
    assert refusal(shipped, shipped_with(**changes)) == [
        f"The {what} can't be removed from the project settings: it is used by 1 {user}."
        for what, user in (
            ("segment 'vip-2024'", "segment member"),
            ("external identity 'website'", "customer external id"),
            ("topic 'News'", "customer subscription"),
            ("channel 'Sms'", "customer subscription"),
            ("brand 'Demo'", "customer subscription"),
        )
    ]
