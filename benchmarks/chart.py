"""Latencies over time as a small SVG: one line a second and percentile, logarithmic, shaded where the fill ran."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 240, 52, 28, 24
LEAST_MS, MOST_MS = 0.1, 10_000.0
LABELS = {0.1: "0.1 ms", 1.0: "1 ms", 10.0: "10 ms", 100.0: "100 ms", 1_000.0: "1 s", 10_000.0: "10 s"}
COLOURS = ("#2563eb", "#dc2626")


def svg(
    title: str, lines: Mapping[str, Sequence[tuple[float, float]]], shaded: Sequence[tuple[float, float]], end_s: float
) -> str:
    """Return the picture of ``lines``, each of (seconds, milliseconds), up to two, from 0 to ``end_s``."""

    def x(at_s: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 8) * min(max(at_s, 0.0), end_s) / end_s, 1)

    def y(ms: float) -> float:
        share = math.log(min(max(ms, LEAST_MS), MOST_MS) / LEAST_MS) / math.log(MOST_MS / LEAST_MS)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

    low, high = y(LEAST_MS), y(MOST_MS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="16" font-size="13">{title}</text>',
    ]
    parts += [
        f'<rect x="{x(since)}" y="{high}" width="{round(x(until) - x(since), 1)}" height="{low - high}" fill="#e5e7eb"/>'
        for since, until in shaded
    ]
    for ms, label in LABELS.items():
        parts.append(f'<path d="M{LEFT} {y(ms)}H{WIDTH - 8}" stroke="#d1d5db" stroke-width="0.5"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y(ms) + 4}" text-anchor="end">{label}</text>')
    for at_s in range(0, int(end_s) + 1, 10):
        parts.append(f'<text x="{x(at_s)}" y="{HEIGHT - 8}" text-anchor="middle">{at_s} s</text>')
    for number, (name, points) in enumerate(lines.items()):
        path = " ".join(f"{x(at_s)},{y(ms)}" for at_s, ms in points)
        colour = COLOURS[number]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.3" points="{path}"/>')
        parts.append(f'<text x="{WIDTH - 120 + 60 * number}" y="16" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])
