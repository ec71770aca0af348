"""Charts as SVG, drawn on the server: nothing to load, and they print. Their text is the page's own."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from html import escape
from typing import Any

import altair
import vl_convert

Point = tuple[datetime, float, float]
_WIDTH, _HEIGHT = 640, 220


@lru_cache(maxsize=256)
def coverage_chart(symbol: str, points: tuple[Point, ...]) -> str:
    """Return custody and liability over time as an SVG element; the points are (time, liability, custody) in shares.

    Floats are for drawing alone. Empty for fewer than two points.
    """
    if len(points) < 2:
        return ""
    rows = _rows(points)
    chart = (
        altair.Chart(altair.InlineData(values=rows), width=_WIDTH, height=_HEIGHT, background="transparent")
        .mark_line(interpolate="step-after", strokeWidth=2.5)
        .encode(
            x=altair.X("at:T", title=None),
            y=altair.Y("shares:Q", title="shares", scale=altair.Scale(zero=False)),
            color=altair.Color(
                "what:N", title=None, scale=altair.Scale(domain=["custody", "liability"], range=["#1f7a4d", "#b3541e"])
            ),
            strokeDash=altair.StrokeDash("what:N", legend=None),
        )
        .configure(font="sans-serif")
        .configure_axis(gridOpacity=0.25, labelColor="#808080", titleColor="#808080")
        .configure_legend(labelColor="#808080", orient="top")
        .configure_view(strokeOpacity=0)
    )
    svg: str = vl_convert.vegalite_to_svg(chart.to_dict())
    title = escape(f"{symbol}: settled custody and liability over time, in shares")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def _rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    rows = []
    for at, liability, custody in points:
        rows.append({"at": at.isoformat(), "what": "liability", "shares": liability})
        rows.append({"at": at.isoformat(), "what": "custody", "shares": custody})
    return rows
