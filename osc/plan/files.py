"""Reading a plan's file: a regular file of bounded size in UTF-8, and nothing that could hang."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from osc.errors import Finding, InvalidPlan, Place, Severity

FILE_BYTES_MAX = 256 * 1024
"""A plan is a page or two. Of more than this the parser would need seconds, however it is written."""


def read_text(path: Path) -> tuple[str, tuple[Finding, ...]]:
    """Return the text of ``path`` and the warnings about its file; raise InvalidPlan (P003, P012, P016) if it is no plan's."""
    data, mode = _read_bytes(path)
    return decode(data, str(path)), tuple(_warnings(mode, str(path)))


def _warnings(mode: int, name: str) -> Iterator[Finding]:
    """The plan is SQL that osc runs with its own rights: who may write the file may do what osc's role may (B17)."""
    if mode & stat.S_IWOTH:
        yield Finding(
            "P004",
            "everybody who can log in on this machine may write this plan, and its SQL runs as osc's role",
            "chmod o-w",
            Severity.WARNING,
            Place(name),
        )


def _read_bytes(path: Path) -> tuple[bytes, int]:
    """Return what the file holds and its mode, both of the same open file: its name may lead elsewhere a moment later."""
    try:
        # O_NONBLOCK: opening a FIFO without a writer would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "the name cannot be a file's"
        raise _refused("P003", f"cannot be opened: {reason}", Place(str(path))) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _refused("P003", "is not a regular file", Place(str(path)))
    with os.fdopen(descriptor, "rb") as file:
        try:
            return file.read(FILE_BYTES_MAX + 1), mode
        except OSError as error:
            raise _refused("P003", f"cannot be read: {error.strerror}", Place(str(path))) from None


def decode(data: bytes, name: str) -> str:
    """Return ``data`` as text without byte order mark; raise InvalidPlan (P012, P016) where it is none."""
    if len(data) > FILE_BYTES_MAX:
        raise _refused("P012", f"larger than {FILE_BYTES_MAX} bytes", Place(name))
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4]:
        raise _refused("P016", "is not UTF-8 but UTF-16 or UTF-32", Place(name), "save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        line_start = before.rfind("\n") + 1
        place = Place(name, before.count("\n") + 1, len(before) - line_start + 1)
        raise _refused("P016", f"the byte 0x{data[error.start]:02x} is not UTF-8", place, "save it as UTF-8") from None


def _refused(code: str, message: str, place: Place, hint: str = "") -> InvalidPlan:
    return InvalidPlan(f"{place.file} {message}", findings=[Finding(code, message, hint, place=place)])
