"""The course of a pool's stock as a picture: where lines and labels are. The template draws it as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.promo_codes.stock.course import Day

WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 80, 30, 20, 34
LABEL_HEIGHT = 15
SHOWN_FORECAST_DAYS = 30
"""A run-out further away is written, not drawn."""
WEEK = 7


@dataclass(frozen=True)
class Label:
    """A text at a place, for a value or a day."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Level:
    """A level of the stock: its line's height, and its label, which keeps clear of the other one's."""

    kind: str
    y: float
    label: Label


@dataclass(frozen=True)
class Picture:
    """What is drawn, in units of the SVG's view box.

    Args:
        line: points of the stock, `x,y x,y …`; `area` the same, closed along the zero line.
        forecast: points of the dashed line from today to the predicted run-out; "" for none.
        additions: days on which codes came, with what to say of them.
    """

    width: int
    height: int
    left: int
    right: int
    zero: float
    line: str
    area: str
    forecast: str
    levels: list[Level]
    values: list[Label]
    days: list[Label]
    additions: list[Label]


def draw(days: Sequence[Day], levels: dict[str, int | None], runs_out_at: datetime | None) -> Picture:
    """Arrange the picture.

    Args:
        days: at least one, in order.
        levels: name → level of the stock; None isn't drawn.
        runs_out_at: predicted.
    """
    drawn = {name: level for name, level in levels.items() if level is not None}
    top = _round_up(max([day.stock for day in days] + list(drawn.values()) + [1]))
    last = days[-1].on
    ahead = 0.0
    if runs_out_at is not None:
        end_of_today = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
        ahead = max(0.0, (runs_out_at - end_of_today).total_seconds() / 86400)
    ahead = ahead if ahead <= SHOWN_FORECAST_DAYS else 0.0
    span = max(1.0, len(days) - 1 + ahead)
    zero = float(HEIGHT - BOTTOM)

    def x(position: float) -> float:
        return round(LEFT + position / span * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(zero - value / top * (zero - TOP), 1)

    line = [f"{x(position)},{y(day.stock)}" for position, day in enumerate(days)]
    if len(line) == 1:
        line.append(f"{x(1)},{y(days[0].stock)}")
    end = line[-1].partition(",")[0]
    is_forecast = runs_out_at is not None and ahead > 0
    return Picture(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        zero=zero,
        line=" ".join(line),
        area=f"{LEFT},{zero} {' '.join(line)} {end},{zero}",
        forecast=f"{line[-1]} {x(len(days) - 1 + ahead)},{zero}" if is_forecast else "",
        levels=_levels(drawn, y),
        values=[Label(LEFT - 8, y(value) + 4, _short(value)) for value in sorted({0, top // 2, top})],
        days=[
            Label(x(position), zero + 20, f"{day.on:%d %b}")
            for position, day in enumerate(days)
            if (len(days) - 1 - position) % (2 * WEEK if len(days) > 4 * WEEK else WEEK) == 0
        ],
        additions=[
            Label(x(position), y(day.stock), _additions_label(day))
            for position, day in enumerate(days)
            if _additions_label(day)
        ],
    )


def _levels(drawn: dict[str, int], y: Callable[[float], float]) -> list[Level]:
    levels: list[Level] = []
    for name, value in sorted(drawn.items(), key=lambda one: -one[1]):
        height = y(value)
        label_at = height - 5
        if levels and label_at - levels[-1].label.y < LABEL_HEIGHT:
            label_at = levels[-1].label.y + LABEL_HEIGHT
        levels.append(Level(name.replace(" ", "-"), height, Label(LEFT + 8, label_at, f"{name}: {value:,}")))
    return levels


def _additions_label(day: Day) -> str:
    parts = [f"{count:,} {what}" for count, what in ((day.uploaded, "uploaded"), (day.generated, "generated")) if count]
    return f"{day.on:%Y-%m-%d}: {', '.join(parts)}" if parts else ""


def _short(value: int) -> str:
    """Write a number so that it fits beside the picture."""
    if value >= 10**12:
        return f"{value:.1e}"
    return f"{value / 10**6:,.1f} M" if value >= 10**7 else f"{value:,}"


def _round_up(value: int) -> int:
    """Return the next number whose first digit alone is not zero, or half of such."""
    if value <= 10:
        return 10
    step: int = 10 ** (len(str(value)) - 1) // 2
    return ceil(value / step) * step
