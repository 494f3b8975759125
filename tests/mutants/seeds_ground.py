"""Seeded faults of what everything stands on: sessions, locks, names, the reading of plans."""

from __future__ import annotations

from tests.mutants.seeding import Mutant

GATE = "tests/pg/test_gate.py"
SESSION = "tests/pg/test_session.py"

GROUND = [
    Mutant(
        "row_security_left_on",
        "I8",
        "pg/pins.py",
        '        ("row_security", "off", None),\n',
        "",
        (f"{SESSION}::test_defaults_of_role_and_database_do_not_matter",),
        "a part of the rows is taken for all (F74)",
    ),
    Mutant(
        "search_path_left_alone",
        "I28",
        "pg/pins.py",
        '        ("search_path", "pg_catalog", None),\n',
        "",
        (f"{SESSION}::test_defaults_of_role_and_database_do_not_matter",),
    ),
    Mutant(
        "timeouts_left_alone",
        "I16",
        "pg/pins.py",
        '        ("statement_timeout", f"{round(settings.query_deadline_s * 1000)}ms", None),\n',
        "",
        (f"{SESSION}::test_defaults_of_role_and_database_do_not_matter",),
        "the role's own timeout breaks an index build (F18)",
    ),
    Mutant(
        "no_client_side_deadline",
        "I18",
        "pg/session.py",
        "await asyncio.wait({task}, timeout=deadline_s)",
        "await asyncio.wait({task}, timeout=deadline_s * 20)",
        (f"{SESSION}::test_a_lost_reply_ends_at_the_deadline_and_closes_the_connection",),
        "a swallowed reply is waited for for ever (F22)",
    ),
    Mutant(
        "lock_budget_never_spent",
        "I11",
        "pg/lock_limits.py",
        "            self._spent[table].append((now_s, spent_ms))\n",
        "            self._spent[table].append((now_s, 0.0))\n",
        ("tests/pg/test_lock_limits.py",),
        "a retry loop is an outage in slices (I11)",
    ),
    Mutant(
        "queues_behind_long_transactions",
        "I10",
        "pg/gate.py",
        '        return ("long_holder", long) if long else None\n',
        "        return None\n",
        (f"{GATE}::test_a_long_idle_transaction_is_never_queued_behind",),
        "one idle session and a waiting ALTER stop everybody",
    ),
    Mutant(
        "blocking_advisory_lock",
        "I19",
        "executor/lead.py",
        '    async def connect(self, change_id: str, purpose: str) -> Connection:\n        """Return a pinned session for a change."""\n'
        '        return await connect(self.target, purpose=f"{change_id}:{purpose}", settings=self.settings)',
        "    async def connect(self, change_id: str, purpose: str) -> Connection:\n"
        '        conn = await connect(self.target, purpose=f"{change_id}:{purpose}", settings=self.settings)\n'
        '        if purpose == "control":\n'
        '            await conn.execute("SELECT pg_advisory_lock(hashtext(%s))", [change_id])\n'
        "        return conn",
        ("tests/executor/test_lead.py::test_leading_holds_no_advisory_lock",),
        "stranded behind a stopped process or a pooler (F35, F91)",
    ),
    Mutant(
        "password_in_an_error",
        "I25",
        "pg/target.py",
        "        parsed = conninfo_to_dict(text)\n    except (psycopg.Error, UnicodeError, ValueError):\n        parsed = None",
        "        parsed = conninfo_to_dict(text)\n    except (psycopg.Error, UnicodeError, ValueError) as error:\n        _malformed(source, str(error))",
        ("tests/pg/test_target.py::test_a_malformed_dsn_is_refused_without_a_word_of_it",),
    ),
    Mutant(
        "nul_in_a_name",
        "I28",
        "names.py",
        "    if any(not char.isprintable() for char in text):\n",
        "    if any(not char.isprintable() for char in text.replace(chr(0), '')):\n",
        ("tests/test_names.py",),
        "the driver cuts a name at NUL: another table is changed (B20)",
    ),
    Mutant(
        "long_names_cut",
        "I28",
        "names.py",
        "    if size > NAME_BYTES_MAX:\n",
        "    if size > NAME_BYTES_MAX * 100:\n",
        ("tests/test_names.py",),
        "two names become one (B21)",
    ),
    Mutant(
        "alias_allowed",
        "I26",
        "plan/document.py",
        '                self.refuse("P010", "aliases are not allowed in a plan", place, "write the value again")\n',
        "",
        ("tests/plan/test_load.py",),
        "an alias bomb explodes on the walk (B03)",
    ),
    Mutant(
        "duplicate_key_last_wins",
        "I26",
        "plan/document.py",
        "        if first is not place:\n",
        "        if first is None:\n",
        ("tests/plan/test_load.py",),
    ),
    Mutant(
        "probe_before_proof",
        "I7",
        "verbs/apply.py",
        "    if not findings:\n        # A probe",
        "    if True:\n        # A probe",
        ("tests/operations/test_refusals.py::test_no_expression_is_evaluated_before_it_is_proven",),
        "nextval and pg_sleep of a plan really run (B36)",
    ),
    Mutant(
        "commits_that_a_crash_takes_back",
        "I23",
        "pg/pins.py",
        '        ("synchronous_commit", "on", "off"),  # a journal entry that a crash takes back is worse than none (I23)\n',
        "",
        (f"{SESSION}::test_defaults_of_role_and_database_do_not_matter",),
    ),
    Mutant(
        "strong_locks_waited_for_as_long_as_it_takes",
        "I10",
        "pg/lock_limits.py",
        "    lock_ms = min(grown_ms, settings.lock_timeout_max_ms, half_ms) * (0.75 + 0.25 * jitter)\n",
        "    lock_ms = max(grown_ms, 30_000.0)\n",
        ("tests/pg/test_lock_limits.py",),
    ),
    Mutant(
        "part_of_the_rows_taken_for_all",
        "I26",
        "operations/base.py",
        "    if table.row_security:\n",
        "    if table.row_security and not table.kind:\n",
        ("tests/operations/test_refusals.py::test_it_is_refused_by_name",),
        "a table with row-level security is not refused (F74)",
    ),
    Mutant(
        "verification_in_one_snapshot",
        "I15",
        "executor/handlers/verify.py",
        "    verdict, lo, limit = Verdict(), None, settings.verify_rows\n",
        "    verdict, lo, limit = Verdict(), None, 1_000_000_000\n",
        ("tests/backfill/test_verification.py::test_no_page_is_larger_than_was_set",),
        "vacuum stands still for as long as a table is long",
    ),
]
