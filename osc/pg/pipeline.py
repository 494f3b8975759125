"""Statements that are sent before the one in front of them has answered, so that the server never waits between two for us.

libpq's pipeline mode with a Sync behind each (PostgreSQL documentation, "Pipeline Mode"): every statement is a transaction
of its own, and what one does wrong does not reach the next. psycopg's own pipeline waits for all answers at each Sync.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import generators
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGresult

    from osc.pg.session import Connection

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A query that the session has prepared under ``name``, and its parameters as the server reads them."""

    name: str
    params: tuple[str, ...] = ()


@dataclass
class Pipeline:
    """One statement on one session, over and over with other parameters. While any is in flight nothing else may run there.

    ``sql`` has parameters ``$1`` and so on, whose types the server must be able to tell from the text.
    """

    conn: Connection
    sql: str
    then: Prepared | None = None
    """What is asked behind each of them, in its transaction: both are done, or neither."""
    in_flight: int = field(default=0, init=False)
    """So many have been sent whose answers were not asked for."""

    async def send(self, params: Sequence[Any]) -> None:
        """Have the statement done behind those that are in flight."""
        await self.conn.wait(self._send(params))

    async def answer(self) -> Row | None:
        """Return the first row of the oldest statement in flight, when it is done; raise the server's error for it.

        With ``then`` it is how many rows the statement changed, and the row of that behind it.
        """
        results = await self.conn.wait(self._results())
        adapter = Transformer.from_context(self.conn)
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result, encoding=adapter.encoding)
        adapter.set_pgresult(results[-1])
        row = adapter.load_row(0, tuple) if results[-1].ntuples else None
        return row if row is None or self.then is None else (results[0].command_tuples, *row)

    def _send(self, params: Sequence[Any]) -> PQGen[None]:
        pgconn, adapter = self.conn.pgconn, Transformer.from_context(self.conn)
        values = adapter.dump_sequence(params, [PyFormat.TEXT] * len(params))
        if self.in_flight:
            # The one in front has left it there, parsed. If that failed there is none, and this one fails as well.
            pgconn.send_query_prepared(b"", values)
        else:
            pgconn.enter_pipeline_mode()
            pgconn.send_query_params(self.sql.encode(), values)
        if self.then is not None:
            pgconn.send_query_prepared(self.then.name.encode(), [param.encode() for param in self.then.params])
        self.in_flight += 1
        pgconn.pipeline_sync()
        yield from generators.send(pgconn)

    def _results(self) -> PQGen[list[PGresult]]:
        results: list[PGresult] = []
        while (found := (yield from generators.fetch_many(self.conn.pgconn))) and (
            found[0].status != ExecStatus.PIPELINE_SYNC
        ):
            results.extend(found)
        self.in_flight -= 1
        if not self.in_flight:
            self.conn.pgconn.exit_pipeline_mode()
        return results
