"""Signs of the operator: each kind of answer, and what is not shown of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from osc.executor.throttle.hours import Hours
from osc.executor.throttle.signs import Signs
from osc.pg.session import Connection

pytestmark = pytest.mark.anyio
SIGNS = Signs(http_timeout_s=1.0)
NOBODY: Any = None


@pytest.mark.parametrize(
    ("sql", "utilisation", "known", "says"),
    [
        ("SELECT true", 1.0, True, "pause_when says so: SELECT true"),
        ("SELECT false", 0.0, True, ""),
        ("SELECT 1.5", 1.5, True, "pause_when says so 1.5 >= 1: SELECT 1.5"),
        ("SELECT 0.85::float8", 0.85, True, ""),
        ("SELECT -3", 0.0, True, ""),
        ("SELECT NULL::bool", 1.0, False, "neither true, false nor a number"),
        ("SELECT 'true'::text", 1.0, False, "neither true, false nor a number"),
        ("SELECT 'nan'::float8", 1.0, False, "neither true, false nor a number"),
        ("SELECT true WHERE false", 1.0, False, "neither true, false nor a number"),
        ("SELECT * FROM nowhere", 1.0, False, "does not exist"),
        ("DELETE FROM public.kept RETURNING false", 1.0, False, "read-only transaction"),
        ("SELECT false; COMMIT; DELETE FROM public.kept", 1.0, False, "multiple commands"),
    ],
)
async def test_a_query_pauses_by_true_or_a_full_measure_and_writes_nothing(
    dsn: str, observer: Connection, sql: str, utilisation: float, known: bool, says: str
) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 1 AS id")
        (found,) = await SIGNS.read(observer, [{"sql": sql}], 0)
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (1,)
    assert (found.utilisation, found.known) == (utilisation, known)
    assert says in found.reason
    assert not observer.closed


async def test_a_query_that_takes_too_long_is_no_sign(observer: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osc.executor.throttle.signs.SQL_TIMEOUT_S", 0.05)
    (found,) = await SIGNS.read(observer, [{"sql": "SELECT pg_sleep(60) IS NULL"}], 0)
    assert (found.utilisation, found.known) == (1.0, False)
    assert "statement timeout" in found.reason


class Answers(BaseHTTPRequestHandler):
    """Answers with the status that the path names; 302 leads to 200."""

    def do_GET(self) -> None:
        status = int(self.path.partition("?")[0].rpartition("/")[2])
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/200")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "utilisation"), [(200, 0.0), (204, 1.0), (302, 1.0), (404, 1.0), (429, 1.0), (503, 1.0)]
)
async def test_an_address_lets_it_go_on_by_200_alone(address: str, status: int, utilisation: float) -> None:
    url = f"http://ann:secret@{address}/load/{status}?token=secret#secret".replace("ann:secret@", "")
    (found,) = await SIGNS.read(NOBODY, [{"http": url}], 0)
    assert (found.utilisation, found.known) == (utilisation, True)
    assert found.reason == f"pause_when: http://{address}/load/{status} answers {status}"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x?token=secret", "http://ann:secret@nowhere.invalid/"])
async def test_an_address_that_does_not_answer_stops_the_fill_and_shows_no_secret(url: str) -> None:
    (found,) = await SIGNS.read(NOBODY, [{"http": url}], 0)
    assert (found.utilisation, found.known) == (1.0, False)
    assert "secret" not in found.reason


async def test_a_file_pauses_while_it_is_there_and_all_signs_are_told(tmp_path: Path) -> None:
    flag, below = tmp_path / "stop", tmp_path / "stop" / "below"
    signs = [{"file": str(flag)}, {"file": str(below)}, {"file": "/a\0b"}]
    assert [one.utilisation for one in await SIGNS.read(NOBODY, signs, 0)] == [0.0, 0.0, 1.0]
    flag.touch()
    told = await SIGNS.read(NOBODY, signs, 0)
    assert [one.utilisation for one in told] == [1.0, 0.0, 1.0]
    assert told[0].reason == f"pause_when: the file {flag} is there"
    assert [one.known for one in told] == [True, True, False]


ALL_DAY = {"days": [0, 1, 2, 3, 4, 5, 6], "since": 0, "until": 1440, "zone": "Europe/Berlin", "text": "all day"}


@pytest.mark.parametrize(
    ("hours", "utilisation", "known"),
    [(ALL_DAY, 0.0, True), ({**ALL_DAY, "days": []}, 1.0, True), ({**ALL_DAY, "zone": "Nowhere/Land"}, 1.0, False)],
)
async def test_outside_of_its_hours_a_fill_rests(
    observer: Connection, hours: dict[str, Any], utilisation: float, known: bool
) -> None:
    (found,) = await Hours().read(observer, hours, 0)
    assert (found.utilisation, found.known) == (utilisation, known)
