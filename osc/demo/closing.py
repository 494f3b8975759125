"""The report as text, and three commands to try next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.demo.bank import PLAN_ID, Bank
from osc.demo.lines import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.demo.report import DemoReport

NEXT = (
    ("osc demo --keep", "the same, and its database stays for you to look around in"),
    ("osc new change_column 00001_wider_total --table orders", "begin a plan of your own"),
    ("osc lint plans/00001_wider_total.yaml", "have it checked"),
)


def as_text(report: DemoReport, kept: Bank | None = None) -> str:
    """Return the report for people; with ``kept`` the server is still there."""
    return "\n".join([*_numbers(report), "", *_verdict(report), "", *_next(kept), *_server(kept)])


def _numbers(report: DemoReport) -> Iterator[str]:
    gap = f", looked every 20 ms, once after {report.watch_gap_ms:.0f} ms" if report.watch_gap_ms > 60 else ""
    longest = f"{report.longest_wait_ms:,.1f} ms"
    who = f"   ({report.longest_wait}{gap})" if report.longest_wait else gap.replace(", ", "   (", 1) + ")" * bool(gap)
    yield _line("rows", f"{report.rows:,}")
    yield _line("transactions", f"{report.transactions:,}")
    yield _line("failed transactions", f"{report.failed_transactions:,}")
    yield _line("lost increments", f"{report.lost_increments:,}")
    yield _line("mismatches", f"{report.mismatches:,}")
    yield _line("longest wait for osc", longest + who)
    yield _line("latency before", f"p50 {report.p50_ms_before:,.1f} ms   p99 {report.p99_ms_before:,.1f} ms")
    yield _line("latency during", f"p50 {report.p50_ms_during:,.1f} ms   p99 {report.p99_ms_during:,.1f} ms")
    yield _line("backfill", f"{report.backfill_rows_per_s:,.0f} rows/s")
    yield _line("phases", "   ".join(f"{name} {duration(seconds)}" for name, seconds in report.phases.items()))
    yield _line("in all", f"{report.seconds:.1f} s")


def _line(name: str, value: str) -> str:
    return f"  {name:<22}{value}"


def _verdict(report: DemoReport) -> Iterator[str]:
    if report.ok:
        yield "  Nothing was lost and no transaction failed."
    for broken in report.broken:
        yield f"  FAILED: {broken}"
    for error in report.errors:
        yield f"    {error}"


def _next(kept: Bank | None) -> Iterator[str]:
    commands = _with_server(kept) if kept else NEXT
    width = max(len(command) for command, _ in commands)
    yield "  Try next:"
    for command, why in commands:
        yield f"    {command:<{width}}  # {why}"


def _with_server(kept: Bank) -> tuple[tuple[str, str], ...]:
    database = f"--database-url {kept.url}"
    return (
        (f"osc status {PLAN_ID} {database}", "where the change stands"),
        (f"osc history {PLAN_ID} {database}", "who did what, when"),
        (f"osc explain {kept.plan_path} {database}", "every statement, with its lock"),
    )


def _server(kept: Bank | None) -> Iterator[str]:
    if kept:
        yield ""
        yield f"  The server is still there: psql {kept.url}"
        yield "  Ctrl-C stops it and removes everything."
