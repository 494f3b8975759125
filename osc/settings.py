"""The numbers osc runs by, in one frozen value: every bound has a name, a unit and a reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults of a run. Units are last in each name; ``_ms`` milliseconds, ``_s`` seconds."""

    # lock gate (design.md section 4; hazards.md 3.4)
    lock_timeout_first_ms: int = 100
    lock_timeout_factor: float = 1.5
    lock_timeout_max_ms: int = 500
    """lock_timeout grows to this or half of deadlock_timeout, whichever is less: some servers have a long one."""
    lock_budget_ms: int = 3_000
    lock_budget_window_s: float = 60.0
    lock_retry_pause_first_s: float = 0.2
    lock_retry_pause_max_s: float = 15.0
    long_holder_s: float = 0.5
    """A transaction older than this that holds a conflicting lock is not queued behind, it is waited for."""
    long_holder_poll_max_s: float = 2.0
    """Between two looks at a long holder. Waiting for it harms nobody, so this stays short enough to use a gap."""
    strong_hold_max_ms: int = 1_000
    """How long the statements under one strong lock may take once it is had; more is cut off by the server."""
    strong_overruns_max: int = 3
    """After so many attempts in a row that had the lock and ran out of time the step fails: repeating only harms."""
    yield_margin_ms: int = 500
    """Autovacuum gives way after deadlock_timeout; we queue so much longer than that for it."""

    # leadership
    lease_s: float = 15.0
    heartbeat_s: float = 3.0
    takeover_wait_s: float = 30.0

    # server and client deadlines
    connect_timeout_s: int = 10
    query_deadline_s: float = 30.0
    """statement_timeout of a session until somebody sets another; the client waits ``reply_grace_s`` longer."""
    reply_grace_s: float = 5.0
    """How much longer than the server's own timeout the client waits for a reply before it hangs up."""
    idle_in_transaction_timeout_s: float = 10.0
    """For the few transactions of several messages; none of them holds a strong lock."""
    session_lock_timeout_ms: int = 1_000
    """lock_timeout of a session until somebody sets another."""
    pooler_probes: int = 3
    """How often a session whose backend is not the one it was greeted by is asked again, from two sides."""
    client_check_interval_ms: int = 500
    batch_statement_timeout_share: float = 0.5
    """Share of the server's deadlock_timeout a batch may live, so that the application is never the victim (S14)."""
    batch_life_ms: int = 200
    """A batch of more than one row may live so long, or twice its target: nobody waits longer for a row of it."""
    batch_lock_timeout_share: float = 0.1

    # retries by SQLSTATE class
    transient_attempts_max: int = 8
    transient_pause_first_s: float = 0.1
    transient_pause_max_s: float = 5.0

    # fill
    batch_rows_first: int = 500
    batch_rows_min: int = 1
    batch_rows_max: int = 20_000
    batch_target_ms: int = 100
    walk: str = "auto"
    waves: int | str = "auto"
    lanes: int | str = 1
    """How a table is walked where neither the plan nor an operator says so."""
    slice_blocks_min: int = 1_024
    """A slice is at least so long (8 MB): shorter ones begin and end more often than they help lanes to share."""
    worker_silent_s: float = 30.0
    """A process that was not seen for so long walks its slices no more, and others take them."""
    skip_windows_first: int = 4
    """After a miss so many windows go with SKIP LOCKED before a plain one is tried again; doubled on each miss."""
    skip_windows_max: int = 256
    revisit_pause_s: float = 0.25
    revisit_pause_max_s: float = 10.0
    poison_rows_max: int = 1_000
    vacuum_poll_s: float = 5.0
    """Between two looks at how much of the table is dead rows, where the plan says from when on to vacuum."""
    vacuum_every_s: float = 180.0
    """Between two vacuums: each reads every index, however little it finds."""
    vacuum_pause_max_s: float = 3_600.0
    """It doubles up to here while vacuums are in vain."""
    vacuum_yield_s: float = 0.5
    """Between two looks whether somebody waits for the lock of a vacuum, which is then cut short."""
    forget_rows: int = 10_000
    """So many rows of what was kept for the way back are deleted at once, when contract ends."""

    # verification
    verify_rows: int = 20_000
    verify_fresh_s: float = 3_600.0
    verify_rounds_max: int = 5
    sample_keys_max: int = 20
    sample_every_s: float = 300.0
    """While a switch is postponed, some pages of what was verified are looked at so often (executor/postponed.py)."""
    sample_pages: int = 8
    """So many of each table; a table that has no more rows is looked at as a whole."""
    sample_rows: int = 1_000
    """Rows a page."""
    sample_page_ms: int = 250
    """statement_timeout of a page; what does not come in time is left out."""
    sample_budget_s: float = 2.0
    """In front of a closed gate: no page begins later than that, so that the gate is soon asked again."""

    gate_http_timeout_s: float = 5.0
    weak_lock_timeout_ms: int = 60_000
    """For locks that keep no read or write waiting; what they wait for is other DDL and vacuum."""
    leads_max: int = 20
    """How often a run takes the lead anew after losing its sessions without getting a step further."""
    logins_max: int = 4
    """How often in a row a run knocks where the role is not let in: enough for a password that is being rotated, and
    below what locks a role out. The knocks are ``login_pause_s`` apart."""
    login_pause_s: float = 5.0
    admissions_max: int = 12
    """How often a verb knocks at a server that lets nobody in for the moment, before it says so."""

    # index builds
    index_attempts_max: int = 3
    index_poll_s: float = 0.5

    # waiting
    worker_poll_s: float = 2.0
    worker_gate_poll_max_s: float = 30.0
    """A change that waits for a gate is asked again after the poll, then ever later, up to this."""
    poll_s: float = 0.5
    progress_line_s: float = 10.0
    progress_noted_s: float = 2.0
    """What status shows of progress is so old at most."""
    redact: bool = False
    """Whether no key and no value of a row is told, nor written where it would be told later (osc.redaction)."""

    @property
    def reply_deadline_s(self) -> float:
        """How long the client waits for a statement under the session's own timeout before it hangs up."""
        return self.query_deadline_s + self.reply_grace_s


DEFAULTS = Settings()
