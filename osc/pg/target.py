"""Where to connect: a DSN, a variable of the environment or libpq's own variables, never shown with its password.

Apart from the sessions, because nothing here needs a server. psycopg's own words about a malformed DSN quote
parts of it, the password among them (reliability.md B59), so every message here is made of checked parts only.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from osc.errors import Finding, UsageError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLES = ("OSC_DATABASE_URL", "DATABASE_URL")
"""The variables that may hold a DSN, the first that is set wins; then come libpq's PG* variables."""

_URI = re.compile(r"postgres(ql)?://")
_NO_PORT = re.compile(r"postgres(ql)?://[^/@?]*:(/|\?|$)")
_PORTS = re.compile(r"\d{1,5}(,\d{1,5})*|")
_FOREIGN_SCHEME = re.compile(r"^\s*(?!postgres(ql)?://)[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """A database to connect to. Its repr and ``describe()`` hold no secret, ``params`` may."""

    source: str
    """Where it came from: ``argument``, the name of a variable, or ``PG*``."""
    params: Mapping[str, str] = field(repr=False)
    """Connection parameters by libpq's names; what is missing, libpq takes from PG* variables and its defaults."""

    @classmethod
    def resolve(cls, dsn: str | None = None, *, environ: Mapping[str, str] | None = None) -> Target:
        """Return the target of ``dsn``, else of OSC_DATABASE_URL, DATABASE_URL or libpq's own variables.

        Raises UsageError (finding A101), whose text quotes nothing of the DSN.
        """
        variables = os.environ if environ is None else environ
        candidates = [("argument", dsn), *((name, variables.get(name)) for name in VARIABLES)]
        source, text = next(((name, text) for name, text in candidates if text), ("PG*", ""))
        return cls(source, _parse(text, source))

    @property
    def has_password(self) -> bool:
        """Whether the DSN itself holds a password; one in PGPASSWORD or .pgpass does not count."""
        return any(self.params.get(name) for name in ("password", "sslpassword"))

    @property
    def several_hosts(self) -> bool:
        """Whether libpq has more than one server to choose from."""
        return "," in self._effective("host") or "," in self._effective("hostaddr")

    def describe(self) -> str:
        """Return ``user@host:port/dbname``, or ``service=name``."""
        if "service" in self.params:
            return printable(f"service={self.params['service']}")
        user = self._effective("user") or "?"
        host = self._effective("host") or self._effective("hostaddr") or "localhost"
        port = self._effective("port") or "5432"
        return printable(f"{user}@{host}:{port}/{self._effective('dbname') or user}")

    def without_secrets(self, text: str) -> str:
        """Return ``text`` on one line of printable characters, with every secret of this target struck out."""
        for name in ("password", "sslpassword"):
            secret = self._effective(name)
            text = text.replace(secret, "***") if secret else text
        return printable(" ".join(text.split()))

    def effective(self) -> dict[str, str]:
        """Return every parameter as libpq will have it, secrets included: of the DSN, the service, the environment."""
        return _libpq_defaults(self.params.get("service")) | {
            name: value for name, value in self.params.items() if value
        }

    def _effective(self, name: str) -> str:
        return self.params.get(name) or _libpq_defaults().get(name, "")


def _libpq_defaults(service: str | None = None) -> dict[str, str]:
    """Return what libpq would take from the environment, the service file and its own defaults."""
    with _named_service(service):
        options = pq.Conninfo.get_defaults()
    return {option.keyword.decode(): option.val.decode(errors="replace") for option in options if option.val}


@contextmanager
def _named_service(service: str | None) -> Iterator[None]:
    """A service that the DSN names is looked up by libpq itself only while it connects, or where PGSERVICE names it."""
    before = os.environ.get("PGSERVICE")
    if service is not None:
        os.environ["PGSERVICE"] = service
    try:
        yield
    finally:
        if service is not None:
            os.environ.pop("PGSERVICE")
            os.environ.update({"PGSERVICE": before} if before is not None else {})


def _parse(text: str, source: str) -> dict[str, str]:
    if _FOREIGN_SCHEME.match(text):
        _malformed(source, "begins with a scheme that is not postgresql://")
    parsed: dict[str, Any] | None
    try:
        parsed = conninfo_to_dict(text)
    except (psycopg.Error, UnicodeError, ValueError):
        parsed = None  # outside the handler, so that the parser's own message is not even its context
    if parsed is None:
        _malformed(source, "cannot be parsed")
    params = {name: str(value) for name, value in parsed.items() if value is not None}
    _check_parts(params, source)
    if _URI.match(text):
        _check_uri(text, params, source)
    return params


def _check_parts(params: Mapping[str, str], source: str) -> None:
    """Refuse what a password with an unescaped @, / or ? leaves in other parts, for those parts get printed."""
    host = params.get("host", "")
    if "@" in host and not host.startswith("@"):  # a leading @ is an abstract unix socket
        _malformed(source, "has an @ within the host")
    if not _PORTS.fullmatch(params.get("port", "")):
        _malformed(source, "has a port that is not a number")
    if "@" in params.get("dbname", ""):
        _malformed(source, "has an @ within the database name")
    if any(not char.isprintable() for value in params.values() for char in value):
        _malformed(source, "holds control characters")


def _check_uri(text: str, params: Mapping[str, str], source: str) -> None:
    """Refuse ``postgresql://user:/pass/word``: without its @ the password is taken for a database, which gets printed."""
    if _NO_PORT.match(text):
        _malformed(source, "has a colon and no port behind its host")
    if "/" in params.get("dbname", ""):
        _malformed(source, "has a / within the database name")


def _malformed(source: str, what: str) -> NoReturn:
    where = "the DSN given" if source == "argument" else f"the DSN in {source}"
    message = f"{where} {what}; nothing was connected"
    hint = (
        "write postgresql://user@host:port/dbname and percent-encode special characters (@ is %40, / is %2F, % is %25)"
    )
    raise UsageError(message, hint=hint, findings=[Finding("A101", message, hint)])
