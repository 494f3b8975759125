"""Quantities of a plan: durations, sizes, rates, shares, whole numbers and hours, each with unit and range.

A quantity remembers how it was written and compares by what it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from osc.operations.expressions import refusal

Off: TypeAlias = Literal["none"]
"""The word that takes a limit away, the engine's own as well."""
OFF: Off = "none"

NORMAL = "normal"
"""The key in a serialization context that asks for what a quantity is instead of how it was written."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount in the smallest unit of its kind, with its text."""

    amount: int
    text: str = field(compare=False)

    code: ClassVar[str]
    pattern: ClassVar[str]
    units: ClassVar[dict[str, int]]
    wanted: ClassVar[str]

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``text``; raise ValueError saying what form is wanted."""
        if re.fullmatch(cls.pattern, text) is None:
            raise refusal(cls.code, f"{text!r} is not {cls.wanted}")
        return cls(sum(int(number) * cls.units[unit] for number, unit in _PART.findall(text)), text)

    @classmethod
    def _validate(cls, value: Any) -> Self:
        if isinstance(value, cls):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise refusal(cls.code, f"{value} has no unit; it must be {cls.wanted}")
        if not isinstance(value, str):
            raise refusal(cls.code, f"{cls.wanted} is expected here")
        return cls.parse(value)

    def _written(self, info: core_schema.SerializationInfo) -> str | int | float:
        return self.amount if (info.context or {}).get(NORMAL) else self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(cls._written, info_arg=True),
            json_schema_input_schema=core_schema.str_schema(pattern=f"^{cls.pattern}$"),
        )

    @classmethod
    def forms(cls) -> list[JsonSchemaValue]:
        """Return the ways to write it, as JSON Schema."""
        return [{"type": "string", "pattern": f"^{cls.pattern}$"}]


_PART = re.compile(r"([0-9]+)([A-Za-z/%]+)")


class Duration(Quantity):
    """A length of time; ``amount`` is in milliseconds."""

    __slots__ = ()
    code = "V141"
    pattern = r"(?=[0-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?"
    units: ClassVar[dict[str, int]] = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
    wanted = "a duration with its unit: 45s, 30m, 1h30m, 7d (ms, s, m, h, d)"

    @property
    def ms(self) -> int:
        return self.amount

    @property
    def seconds(self) -> float:
        return self.amount / 1000


_BYTES = {"B": 1} | {
    unit: base**power
    for power, letter in enumerate("kMGT", start=1)
    for unit, base in ((f"{letter}B", 1000), (f"{letter.upper()}iB", 1024))
}


class Size(Quantity):
    """A number of bytes."""

    __slots__ = ()
    code = "V142"
    pattern = r"[0-9]{1,9}(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)"
    units: ClassVar[dict[str, int]] = _BYTES
    wanted = "a size with its unit: 512MB, 1GiB (kB, MB, GB, TB are powers of 1000; KiB, MiB, GiB, TiB of 1024)"

    @property
    def bytes(self) -> int:
        return self.amount


class Rate(Quantity):
    """Bytes a second."""

    __slots__ = ()
    code = "V142"
    pattern = Size.pattern + "/s"
    units: ClassVar[dict[str, int]] = {f"{unit}/s": factor for unit, factor in _BYTES.items()}
    wanted = "a rate with its unit: 20MB/s, 16MiB/s"

    @property
    def bytes_per_s(self) -> int:
        return self.amount


class Share(Quantity):
    """A share of time, above 0 and at most 1; ``amount`` is in millionths."""

    __slots__ = ()
    code = "V142"
    pattern = r"[0-9]{1,3}%"
    units: ClassVar[dict[str, int]] = {"%": 10_000}
    wanted = 'a share above 0 and at most 1, or a percentage from "1%" to "100%"'

    @property
    def share(self) -> float:
        return self.amount / 1_000_000

    @classmethod
    def _validate(cls, value: Any) -> Self:
        share = cls(round(value * 1_000_000), str(value)) if _is_share(value) else super()._validate(value)
        if not 0 < share.amount <= 1_000_000:
            raise refusal(cls.code, f"{share} is not {cls.wanted}")
        return share

    def _written(self, info: core_schema.SerializationInfo) -> str | int | float:
        if (info.context or {}).get(NORMAL):
            return self.amount
        return self.text if self.text.endswith("%") else self.share

    @classmethod
    def forms(cls) -> list[JsonSchemaValue]:
        """Return the ways to write it, as JSON Schema."""
        percentage: JsonSchemaValue = {"type": "string", "pattern": f"^{cls.pattern}$"}
        return [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, percentage]

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": cls.forms()}


def _is_share(value: Any) -> bool:
    # NaN fails both comparisons.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


@dataclass(frozen=True, slots=True)
class Between:
    """An annotation: the least and the greatest amount a quantity may be, in its own notation."""

    low: str
    high: str

    def __get_pydantic_core_schema__(self, source: type[Quantity], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(lambda value: self.check(source, value), handler(source))

    def check(self, kind: type[Quantity], value: Quantity) -> Quantity:
        """Return ``value`` if it is in the range; raise ValueError."""
        low, high = kind.parse(self.low), kind.parse(self.high)
        if not low.amount <= value.amount <= high.amount:
            raise refusal(kind.code, f"{value} is outside the allowed range {low} to {high}")
        return value


@dataclass(frozen=True, slots=True)
class OrNone:
    """An annotation: a quantity of ``kind``, in a range or not, or the word ``none``."""

    kind: type[Quantity]
    low: str = ""
    high: str = ""

    def _check(self, value: Any) -> Quantity | Off:
        if value == OFF:
            return OFF
        quantity = self.kind._validate(value)
        return Between(self.low, self.high).check(self.kind, quantity) if self.low else quantity

    def _written(self, value: Quantity | Off, info: core_schema.SerializationInfo) -> str | int | float:
        return value if isinstance(value, str) else value._written(info)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._check, serialization=core_schema.plain_serializer_function_ser_schema(self._written, info_arg=True)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [*self.kind.forms(), {"enum": [OFF]}]}


@dataclass(frozen=True, slots=True)
class Whole:
    """An annotation: a whole number from ``low`` to ``high``, or one of ``words``."""

    low: int
    high: int
    words: tuple[str, ...] = ()
    code: str = "V140"

    def _check(self, value: Any) -> Any:
        if isinstance(value, str) and value in self.words:
            return str(value)
        if isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high:
            return int(value)
        allowed = " or ".join((f"a whole number from {self.low} to {self.high}", *self.words))
        raise refusal(self.code, f"{_shown(value)} is not {allowed}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        number: JsonSchemaValue = {"type": "integer", "minimum": self.low, "maximum": self.high}
        return {"anyOf": [number, {"enum": list(self.words)}]} if self.words else number


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, str | int | float) else "this"


# -------------------------------------------------------------------------------------------- hours

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = "(?:" + "|".join(_DAYS) + ")"
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_HOURS = rf"{_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)* {_TIME}-(?:{_TIME}|24:00) [A-Za-z][A-Za-z0-9_+/-]{{0,62}}"


@dataclass(frozen=True, slots=True)
class Hours:
    """When a phase may begin: days of the week (0 is Monday), minutes of the day, and their time zone.

    ``until`` is exclusive and lies on the next day where it is less than ``since``.
    """

    days: frozenset[int]
    since: int
    until: int
    zone: str
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``Mon-Fri 09:00-17:00 Europe/Berlin``; raise ValueError saying what form is wanted."""
        if re.fullmatch(_HOURS, text) is None:
            raise _no_hours(text)
        days, times, zone = text.split(" ")
        since, until = (int(time[:2]) * 60 + int(time[3:]) for time in times.split("-"))
        if since == until:
            raise _no_hours(text)
        return cls(frozenset(_days(days)), since, until, zone, text)

    @classmethod
    def _validate(cls, value: Any) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise _no_hours(value)
        return cls.parse(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
            json_schema_input_schema=core_schema.str_schema(pattern=f"^{_HOURS}$"),
        )


def _no_hours(value: Any) -> PydanticCustomError:
    wanted = "days, times and a time zone: Mon-Fri 09:00-17:00 Europe/Berlin"
    return refusal("V144", f"{_shown(value)} is not {wanted}", hint="days are Mon to Sun; the zone is a name like UTC")


def _days(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = _DAYS.index(first), _DAYS.index(last or first)
        # Sat-Mon goes over the end of the week.
        found |= {day % 7 for day in range(low, (high if high >= low else high + 7) + 1)}
    return found
