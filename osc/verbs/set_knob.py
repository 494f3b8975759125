"""set: turn a pacing knob of a running change, for a time or for good; the leader reads it while it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from osc.errors import Conflict, InvalidPlan, UsageError
from osc.plan.document import read_document
from osc.plan.pacing import ALWAYS, STORED, text
from osc.plan.phases import BackfillSettings
from osc.plan.quantities import OFF
from osc.plan.words import did_you_mean
from osc.state import settings as knobs
from osc.state.pauses import scope_of_change
from osc.verbs.documents import plain
from osc.verbs.registered import registered

if TYPE_CHECKING:
    from osc.verbs.session import Session


@dataclass(frozen=True, slots=True)
class Turned:
    """What is in force now."""

    change_id: str
    key: str
    value: str | None
    """As it was written; ``None``: the change's own word was taken back."""
    ttl_s: float | None
    message: str

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return dict(plain(self))


async def set_knob(
    session: Session, change_id: str, key: str, value: str | None, *, ttl: float | None = None, reason: str = ""
) -> Turned:
    """Set ``key`` of the change for ``ttl`` seconds, or for good; ``None`` takes its word back.

    Keys and values are those of ``backfill`` in a plan. Raises UsageError for what is none, Conflict for a change that
    is over.
    """
    stored, text = _checked(key, value)
    async with registered(session, change_id, "set") as (conn, change):
        if not change.open:
            raise Conflict(f"{change.id} is {change.state}: there is nothing to pace; nothing was changed")
        await knobs.set_knob(conn, scope_of_change(change.id), stored, text, ttl_s=ttl, who=session.who, reason=reason)
    return Turned(change_id, key, value, ttl, _message(change_id, key, value, ttl))


def _checked(key: str, value: str | None) -> tuple[str, str | None]:
    """Return key and value as the executor reads them; raise UsageError saying what is wrong."""
    if key not in STORED:
        raise UsageError(f"{key!r} is no setting that can be changed live", hint=did_you_mean(key, sorted(STORED)))
    if value is None or (value == OFF and key not in ALWAYS):
        return STORED[key][0], value
    try:
        settings = BackfillSettings.model_validate({key: _value(key, value)})
    except ValidationError as error:
        raise UsageError(f"{key}: {_said(error)}") from None
    return STORED[key][0], text(key, getattr(settings, key))


def _said(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] in ("tuple_type", "model_type", "model_attributes_type"):
        return "a list or mapping is expected, as in a plan: '[{file: /run/osc/stop}]', '{exclude: [standby-3]}'"
    return str(first["msg"])


def _value(key: str, text: str) -> Any:
    """Return what YAML would make of ``text``, as far as settings go: a number where it is one, a list or mapping."""
    if not text.startswith(("[", "{")):
        return _scalar(text)
    try:
        document = read_document(text, key)
    except InvalidPlan as error:
        raise UsageError(f"{key}: {error.message}") from None
    if document.findings:
        raise UsageError(f"{key}: {document.findings[0].message}", hint=document.findings[0].hint)
    return document.root.data()


def _scalar(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _message(change_id: str, key: str, value: str | None, ttl: float | None) -> str:
    if value is None:
        return f"{change_id}: {key} is as the plan says again"
    return f"{change_id}: {key} is {value}" + (f" for {ttl:g} s" if ttl is not None else "")
