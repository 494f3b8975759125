"""Standings as text: what status prints. The command to type next and the way back stand last, where eyes end up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from osc.cli.paint import count, paint, span
from osc.errors import printable

if TYPE_CHECKING:
    from osc.verbs.standing import GateNow, Overview, Progress, Standing

_STYLES = {
    "AMBIGUOUS": "red bold",
    "FAILED": "red bold",
    "STOPPED": "red",
    "PAUSED": "yellow",
    "CLOSED": "yellow",
    "WAITING": "yellow",
    "RUNNING": "green",
    "RESTING": "cyan",
    "DONE": "green",
    "ROLLED_BACK": "dim",
}
_MARKS = {"complete": "x", "running": ">", "ahead": " "}
_WORDS = {True: "open", False: "closed", None: "asked later"}
BLOCKERS_MAX = 5
QUERY_CHARS_MAX = 100


def overview_text(overview: Overview, *, whole: bool, color: bool) -> str:
    """Return the changes one below the other; ``whole`` tells everything that is known of each."""
    if not overview.changes:
        return f"no open changes in {overview.database}\n"
    shown = ["\n".join(_lines(one, overview, whole=whole, color=color)) for one in overview.changes]
    return "\n\n".join(shown) + "\n"


def one_line(standing: Standing) -> str:
    """Return the change in one line, for logs."""
    parts = [f"{standing.id} {standing.state}, {standing.condition}"]
    if standing.progress is not None:
        parts.append(progress_text(standing.progress))
    if standing.waiting:
        parts.append(standing.waiting)
    if standing.next.command:
        parts.append(f"next: {standing.next.command}")
    return printable("; ".join(parts))


def _lines(one: Standing, overview: Overview, *, whole: bool, color: bool) -> Iterator[str]:
    condition = paint(str(one.condition), _STYLES[one.condition.name], on=color)
    yield f"{paint(one.id, 'bold', on=color)}  {condition}" + (f"  {printable(one.title)}" if one.title else "")
    yield f"  {'phases':<9} " + "  ".join(f"[{_MARKS[word]}] {phase}" for phase, word in one.phases.items())
    for label, text in _facts(one, overview, whole=whole):
        lines = text.splitlines() or [""]
        yield f"  {label:<9} {printable(lines[0])}"
        yield from (f"  {'':<9} {printable(line)}" for line in lines[1:])
    yield f"  {'next':<9} {_advice(one.next.command, one.next.why, color=color)}"
    yield f"  {'way back':<9} {_advice(one.way_back.command, one.way_back.why, color=False)}"


def _advice(command: str, why: str, *, color: bool) -> str:
    why = printable(why)
    return f"{paint(printable(command), 'bold', on=color)}   ({why})" if command else why


def _facts(one: Standing, overview: Overview, *, whole: bool) -> Iterator[tuple[str, str]]:
    if whole:
        yield "state", _state(one, overview)
        yield from _about(one)
    if one.step is not None:
        attempts = f", attempt {one.step.attempts}" if one.step.attempts > 1 else ""
        yield "step", f"{one.step.title} ({one.step.state}{attempts}; {one.steps_done} of {one.steps_total} done)"
        if whole:
            yield "", one.step.id
    if one.progress is not None:
        yield "progress", progress_text(one.progress)
        if (engine := engine_text(one.progress)) and (whole or one.progress.waves_rest):
            yield "", engine
    if one.waiting:
        yield "waiting", one.waiting
    for blocker in one.blockers[:BLOCKERS_MAX]:
        yield "", _blocker(blocker)
    if one.problem:
        yield "problem", _problem(one.problem)
    if one.leader and whole:
        yield "leader", one.leader
    yield from _gates(one, whole=whole)
    if whole:
        yield from _release(one)


def _state(one: Standing, overview: Overview) -> str:
    where = f" to {one.target or 'the beginning'}" if one.direction == "back" else f", going to {one.target}"
    going = where if one.target or one.direction == "back" else ""
    return f"{one.state} for {span((overview.at - one.since).total_seconds())}{going}"


def _about(one: Standing) -> Iterator[tuple[str, str]]:
    yield "tables", ", ".join(one.tables)
    told = [f"attempt {one.attempt}", f"revision {one.revision}"]
    yield "plan", ", ".join(([f"owner {one.owner}"] if one.owner else []) + told)


WALKS = {"keyset": "along the key", "blocks": "through the blocks"}


def progress_text(progress: Progress) -> str:
    """Return ``45%, 451,000 of about 1,000,000 rows, 52,000/s, about 11 s left``, behind the phase where there is one."""
    parts = [progress.phase] if progress.phase else []
    if progress.share is not None and progress.total:
        parts += [f"{progress.share:.0%}", f"{count(progress.done)} of about {count(progress.total)} {progress.unit}"]
    elif progress.unit:
        parts.append(f"{count(progress.done)} {progress.unit}")
    if progress.rate:
        parts.append(f"{count(progress.rate)}/s")
    if progress.eta_s is not None:
        parts.append(f"about {span(progress.eta_s)} left{' in this phase' if progress.phase else ''}")
    told = (
        (progress.skipped, "locked, visited again"),
        (progress.poison, "cannot be filled"),
        (progress.mismatches, "out of step"),
    )
    return ", ".join([*parts, *(f"{count(number)} {word}" for number, word in told if number)])


def engine_text(progress: Progress) -> str:
    """Return ``by blocks in 18 waves, 2 lanes, 85 % of the updates touched no index``; empty where nothing walks."""
    if not progress.walk:
        return ""
    waves = f" in {progress.waves} waves" if (progress.waves or 1) > 1 else ""
    if progress.waves_rest:
        waves = ", waves rest: something keeps dead rows from being removed (long transactions, slots)"
    parts = [f"{WALKS[progress.walk]}{waves}"]
    if progress.lanes > 1:
        parts.append(f"{progress.lanes} lanes")
    if progress.hot_share is not None:
        parts.append(f"{progress.hot_share:.0%} of the updates touched no index")
    return ", ".join(parts)


def _blocker(blocker: dict[str, object]) -> str:
    age = blocker.get("age_s")
    since = f", {span(float(age))}" if isinstance(age, int | float) else ""
    query = " ".join(str(blocker.get("query") or "").split())
    shown = query if len(query) <= QUERY_CHARS_MAX else query[: QUERY_CHARS_MAX - 1] + "…"
    who = blocker.get("application") or "?"
    return f"pid {blocker.get('pid')} {who} ({blocker.get('state')}{since}): {shown}"


def _problem(problem: dict[str, object]) -> str:
    hint = f"\n{problem['hint']}" if problem.get("hint") else ""
    return f"{problem.get('code', '')} {problem.get('message', '')}{hint}".strip()


def _gates(one: Standing, *, whole: bool) -> Iterator[tuple[str, str]]:
    label = "gates"
    for gate in one.gates if whole else ():
        yield label, _gate(gate)
        label = ""
    if one.gates and not whole:
        yield label, ", ".join(f"{gate.name} {_WORDS[gate.open]}" for gate in one.gates)


def _gate(gate: GateNow) -> str:
    left = f", {span(gate.opens_in_s)} left" if gate.opens_in_s is not None else ""
    return f"{gate.phase}: {gate.kind} {gate.name} {_WORDS[gate.open]} ({gate.told}{left})"


def _release(one: Standing) -> Iterator[tuple[str, str]]:
    if one.new_application_from:
        filled = f"; filled since {one.filled_at:%Y-%m-%d %H:%M} UTC" if one.filled_at else ""
        yield "new app", f"from {one.new_application_from}{filled}"
        yield "old app", f"until {one.old_application_until}"
    if one.point_of_no_return:
        yield "no return", one.point_of_no_return
    label = "verified"
    for verdict in one.verified:
        yield label, _verdict(verdict, "started_s_ago")
        label = ""
    label = "sampled"
    for seen in one.sampled:
        yield label, _verdict(seen, "sampled_s_ago")
        label = ""


def _verdict(one: dict[str, Any], ago: str) -> str:
    since = str(timedelta(seconds=int(one[ago])))
    return f"{one['step']}: {count(one['rows'])} rows, {one['mismatches']} out of step, {since} ago"
