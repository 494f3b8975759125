"""PostgreSQL's table lock modes and what each keeps waiting; conditions that a locked transaction proves first."""

from __future__ import annotations

from enum import StrEnum

from osc.names import QName
from osc.values import Value


class Lock(StrEnum):
    """A table lock mode, by the name LOCK TABLE knows it by."""

    NONE = "NONE"
    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def blocks(self) -> str:
        """What of an application waits for this lock."""
        if self is Lock.ACCESS_EXCLUSIVE:
            return "reads and writes"
        if self in (Lock.EXCLUSIVE, Lock.SHARE_ROW_EXCLUSIVE, Lock.SHARE):
            return "writes"
        return "nothing"

    @property
    def strong(self) -> bool:
        """Whether it keeps reads or writes waiting, so that it may only be taken through the lock gate."""
        return self.blocks != "nothing"


class TableLock(Value):
    """A lock mode on a table."""

    table: QName
    mode: Lock
    leaves: bool = False
    """Whether it is taken of the table's partitions as well, all in one statement."""


class Assertion(Value):
    """A condition proven inside a step's own transaction, under its lock; false or NULL refuses the step.

    ``condition`` is an SQL boolean expression.
    """

    condition: str
    message: str
    hint: str = ""
