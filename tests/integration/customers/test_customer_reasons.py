"""What the sender reads about identifiers that conflict with one another. Source: CU-03, X-08, X-20."""

from __future__ import annotations

import pytest

from tests.imports import reasons
from tests.integration.customers.scenes import Scene

pytestmark = pytest.mark.integration


def test_cu03_an_ambiguous_row_reports_which_identifiers_point_to_how_many_customers(scene: Scene):
    scene.add("""
        1 website=1 email=ann@x.com mobile_phone=+12125550101
        2 website=2 email=bob@x.com mobile_phone=+12125550102
        3 pos=3 email=cem@x.com
    """)
    loaded = scene.load("""
        ExternalIdentityWebsite,ExternalIdentityPos,Email,MobilePhone,Sex
        1,3,bob@x.com,+12125550109,
        1,,bob@x.com,,x
        1,,cem@x.com,+12125550102,
    """)
    ambiguous = (
        "The identifiers of this row ({}) belong to {} different customers. "
        "Correct them, or make a row for each customer."
    )
    taken = "{} of this row belongs to another customer, so the customer of this row can't get it."
    assert reasons(loaded.result) == {
        2: " | ".join(
            (taken.format("Email"), ambiguous.format("External identity website, External identity pos, Email", 3))
        ),
        3: " | ".join(
            (
                "Sex 'x' is neither male nor female (m, f and w are understood as well).",
                ambiguous.format("External identity website, Email", 2),
            )
        ),
        4: " | ".join(
            (
                taken.format("Email"),
                taken.format("Mobile phone"),
                ambiguous.format("External identity website, Email, Mobile phone", 3),
            )
        ),
    }
