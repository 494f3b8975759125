-- The state of osc in the target database. All tables are logged; nothing here is read or written by triggers on
-- the application's tables, so no application role needs a privilege on this schema.
--
-- Runs in one transaction with the creation of the schema and with the bump of osc.meta.schema_version (schema.py).
--
-- Rule for all who write here: no transaction holds a row of osc.change, osc.lease, osc.heartbeat or osc.event across
-- a client round trip. What must happen together is one statement or one function, so that a stopped process can
-- never make a pause, a takeover or a status wait.

CREATE DOMAIN osc.phase_name AS text
    CONSTRAINT phase_name_known CHECK (VALUE IN ('expand', 'dual_write', 'backfill', 'switch', 'contract'));

-- One row: which migrations ran, and which database this state was made for (a copy must not go on by itself, F27).
CREATE TABLE osc.meta (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    schema_version    integer NOT NULL CHECK (schema_version >= 0),
    system_identifier text NOT NULL,
    database_oid      oid NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO osc.meta (schema_version, system_identifier, database_oid)
SELECT 0, c.system_identifier::text, d.oid
  FROM pg_catalog.pg_control_system() AS c, pg_catalog.pg_database AS d
 WHERE d.datname = pg_catalog.current_database();

-- A plan registered in this database: one row an attempt. `state` is a state of osc/state/transitions.py.
CREATE TABLE osc.change (
    change        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            text NOT NULL CHECK (id <> ''),
    attempt       integer NOT NULL DEFAULT 1 CHECK (attempt >= 1),
    revision      integer NOT NULL DEFAULT 1 CHECK (revision >= 1),
    state         text NOT NULL DEFAULT 'registered'
                  CONSTRAINT change_state_known CHECK (state IN (
                      'registered', 'expanding', 'expanded', 'entering_dual_write', 'dual_write', 'backfilling',
                      'backfilled', 'switching', 'switched', 'retiring', 'retired', 'dropping', 'done',
                      'rolling_back', 'rolled_back')),
    state_since   timestamptz NOT NULL DEFAULT clock_timestamp(),   -- keep_for counts from here while retired
    target        osc.phase_name,           -- the phase last asked for; NULL with direction back: all of it
    direction     text NOT NULL DEFAULT 'forward' CHECK (direction IN ('forward', 'back')),
    title         text NOT NULL DEFAULT '',
    owner         text NOT NULL DEFAULT '',
    service       text NOT NULL DEFAULT '',
    labels        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
    notify        jsonb,
    pacing        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(pacing) = 'object'),
    tables        text[] NOT NULL DEFAULT '{}',
    plan          text NOT NULL,            -- the YAML as it was submitted last
    plan_hash     text NOT NULL CHECK (plan_hash <> ''),
    program       jsonb NOT NULL CHECK (jsonb_typeof(program) = 'object'),
    program_hash  text NOT NULL CHECK (program_hash <> ''),
    paused        boolean NOT NULL DEFAULT false,
    paused_by     text,
    paused_reason text,
    paused_at     timestamptz,
    filled_at     timestamptz,              -- the fill was verified: NEW may read
    problem       jsonb,                    -- the last error, until something succeeds
    created_by    text NOT NULL DEFAULT session_user,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (id, attempt),
    CONSTRAINT change_pause_whole CHECK (paused = (paused_at IS NOT NULL) AND paused = (paused_by IS NOT NULL))
);
CREATE UNIQUE INDEX change_open_id ON osc.change (id) WHERE state <> 'rolled_back';

-- When each phase was completed, by the database's clock; `after` counts from here. Removed when the phase is undone.
CREATE TABLE osc.phase (
    change       bigint NOT NULL REFERENCES osc.change,
    phase        osc.phase_name NOT NULL,
    begun_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at timestamptz CHECK (completed_at >= begun_at),
    PRIMARY KEY (change, phase)
);

-- The lease: who leads a change. `epoch` grows with each takeover and never shrinks.
CREATE TABLE osc.lease (
    change     bigint PRIMARY KEY REFERENCES osc.change,
    epoch      bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    owner      uuid,
    taken_at   timestamptz
);
-- Its heartbeat has a row of its own, so that no transaction of a step ever waits for it or makes it wait.
-- The row alone decides whether a heartbeat counts: it carries the owner and the epoch it was taken with.
CREATE TABLE osc.heartbeat (
    change     bigint PRIMARY KEY REFERENCES osc.change,
    owner      uuid,
    epoch      bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    lease_s    double precision NOT NULL DEFAULT 0 CHECK (lease_s >= 0),
    expires_at timestamptz NOT NULL DEFAULT to_timestamp(0)
) WITH (fillfactor = 50);

-- Processes and the backends they use, so that a successor can end what an old epoch left running (F03).
CREATE TABLE osc.executor (
    owner      uuid PRIMARY KEY,
    host       text NOT NULL,
    pid        integer NOT NULL,
    kind       text NOT NULL,              -- 'apply', 'advance', 'worker', ...
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
CREATE TABLE osc.backend (
    owner         uuid NOT NULL,
    change        bigint NOT NULL REFERENCES osc.change,
    epoch         bigint NOT NULL CHECK (epoch >= 0),
    pid           integer NOT NULL,
    backend_start timestamptz NOT NULL,
    PRIMARY KEY (change, epoch, pid, backend_start)
);

-- The journal: one row a step of the current revision. A transaction of a step ends with an UPDATE of this row that
-- carries `epoch = $e`, which is its fence.
CREATE TABLE osc.step (
    change       bigint NOT NULL REFERENCES osc.change,
    ordinal      integer NOT NULL CHECK (ordinal >= 1),
    step         text NOT NULL CHECK (step <> ''),
    phase        osc.phase_name NOT NULL,
    kind         text NOT NULL,
    state        text NOT NULL DEFAULT 'pending'
                 CONSTRAINT step_state_known CHECK (
                     state IN ('pending', 'started', 'done', 'undoing', 'undone', 'failed', 'ambiguous')),
    was          text CHECK (was IN ('started', 'undoing')),   -- what an ambiguous step was doing
    epoch        bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    attempts     integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    started_at   timestamptz,
    done_at      timestamptz,
    waiting      text,                     -- 'lock', 'throttle', 'gate', ... while it waits, with detail beside it
    waiting_since timestamptz,
    detail       jsonb,
    result       jsonb,                    -- oids and definitions of what it made, counts, verdicts
    error        jsonb,
    PRIMARY KEY (change, ordinal),
    UNIQUE (change, step),
    CONSTRAINT step_ambiguous_whole CHECK ((state = 'ambiguous') = (was IS NOT NULL)),
    CONSTRAINT step_waiting_whole CHECK ((waiting IS NULL) = (waiting_since IS NULL))
) WITH (fillfactor = 50);

-- A piece of a table that one lane walks. The batch updates this row and the table in one statement: this row is
-- fence (epoch, seq), checkpoint (cursor) and gate at once. No index but the key: its updates must stay HOT.
-- `epoch` is the slice's own counter: it grows with each claim and with each takeover of the change.
CREATE TABLE osc.slice (
    slice        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change       bigint NOT NULL,
    step         text NOT NULL,
    lo           text[],                   -- exclusive; NULL is unbounded
    hi           text[],                   -- inclusive; NULL is unbounded
    cursor       text[],                   -- the last key done; NULL before the first batch
    seq          bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    wave         integer NOT NULL DEFAULT 0 CHECK (wave >= 0),
    waves        integer NOT NULL DEFAULT 1 CHECK (waves >= 1),
    epoch        bigint NOT NULL CHECK (epoch >= 0),
    owner        uuid,
    finished     boolean NOT NULL DEFAULT false,
    rows_seen    bigint NOT NULL DEFAULT 0 CHECK (rows_seen >= 0),
    rows_filled  bigint NOT NULL DEFAULT 0 CHECK (rows_filled >= 0),
    batches      bigint NOT NULL DEFAULT 0 CHECK (batches >= 0),
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10);

-- Windows in which a batch met locked rows and went on; each is visited again before anything is called complete.
CREATE TABLE osc.skipped (
    skipped  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change   bigint NOT NULL,
    step     text NOT NULL,
    slice    bigint NOT NULL,
    lo       text[],
    hi       text[],
    rows     bigint NOT NULL CHECK (rows >= 0),
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Rows whose expression raises, by key.
CREATE TABLE osc.poison (
    change   bigint NOT NULL,
    step     text NOT NULL,
    key      text[] NOT NULL,
    sqlstate text NOT NULL,
    message  text NOT NULL DEFAULT '',
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (change, step, key)
);

-- Verdicts of verification passes; only a finished one counts.
CREATE TABLE osc.verification (
    verification bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change       bigint NOT NULL REFERENCES osc.change,
    step         text NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at  timestamptz CHECK (finished_at >= started_at),
    rows         bigint NOT NULL DEFAULT 0 CHECK (rows >= 0),
    mismatches   bigint NOT NULL DEFAULT 0 CHECK (mismatches >= 0),
    sample       jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(sample) = 'array'),
    triggers     text NOT NULL DEFAULT ''   -- osc.triggers_mark() when the pass began
);
CREATE INDEX verification_step ON osc.verification (change, step, verification);

-- Live knobs; the newest unexpired row of the narrowest scope wins. A NULL value takes a knob back.
CREATE TABLE osc.setting (
    setting    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope      text NOT NULL CHECK (scope = '*' OR scope LIKE 'table:_%' OR scope LIKE 'change:_%'),
    key        text NOT NULL CHECK (key <> ''),
    value      text,
    set_by     text NOT NULL DEFAULT session_user,
    set_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    reason     text NOT NULL DEFAULT ''
);
CREATE INDEX setting_scope ON osc.setting (scope, key);

-- Pauses that are wider than one change: scope '*' or 'table:...'. Read from a statement's snapshot, never locked.
CREATE TABLE osc.pause (
    scope     text PRIMARY KEY CHECK (scope = '*' OR scope LIKE 'table:_%'),
    paused_by text NOT NULL DEFAULT session_user,
    reason    text NOT NULL DEFAULT '',
    at        timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Gates that somebody opened. An approval counts only for the program it was given for.
CREATE TABLE osc.gate (
    change       bigint NOT NULL REFERENCES osc.change,
    gate         text NOT NULL CHECK (gate <> ''),
    opened_by    text NOT NULL DEFAULT session_user,
    role         text NOT NULL DEFAULT session_user,   -- who the server says it was
    opened_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    program_hash text NOT NULL,
    reason       text NOT NULL DEFAULT '',
    PRIMARY KEY (change, gate)
);

-- The history: append-only, chained by hash per change; rows without a change form a chain of their own.
CREATE TABLE osc.event (
    event     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change    bigint CHECK (change >= 1),
    seq       bigint NOT NULL CHECK (seq >= 1),
    at        timestamptz NOT NULL,
    who       text NOT NULL,
    role      text NOT NULL,                -- who the server says it was
    client    text NOT NULL,
    epoch     bigint,
    kind      text NOT NULL CHECK (kind <> ''),
    data      jsonb NOT NULL,
    previous  text NOT NULL,
    hash      text NOT NULL
);
CREATE UNIQUE INDEX event_chain ON osc.event (COALESCE(change, 0), seq);

CREATE FUNCTION osc.event_is_append_only() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the history of osc is append-only' USING ERRCODE = '55000';
END
$$;
CREATE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON osc.event
    FOR EACH STATEMENT EXECUTE FUNCTION osc.event_is_append_only();
ALTER TABLE osc.event ENABLE ALWAYS TRIGGER event_is_append_only;

-- Append an event. Writers of one chain meet at its unique index: the loser waits for the winner, inserts nothing,
-- reads the new head and tries again. What is hashed is spelled out in events.py, which checks it.
CREATE FUNCTION osc.record_event(p_change bigint, p_kind text, p_data jsonb, p_who text, p_epoch bigint)
    RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_seq      bigint;
    v_previous text;
    v_at       timestamptz;
    v_client   text := concat_ws(' ', host(inet_client_addr()), current_setting('application_name'));
    v_event    bigint;
BEGIN
    FOR v_try IN 1 .. 1000 LOOP
        SELECT e.seq, e.hash INTO v_seq, v_previous
          FROM osc.event AS e
         WHERE COALESCE(e.change, 0) = COALESCE(p_change, 0)
         ORDER BY e.seq DESC LIMIT 1;
        v_seq := COALESCE(v_seq, 0) + 1;
        v_previous := COALESCE(v_previous, '');
        v_at := clock_timestamp();
        INSERT INTO osc.event (change, seq, at, who, role, client, epoch, kind, data, previous, hash)
        VALUES (p_change, v_seq, v_at, p_who, session_user, v_client, p_epoch, p_kind, p_data, v_previous,
                encode(sha256(convert_to(jsonb_build_array(
                    v_previous, p_change, v_seq,
                    to_char(v_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    p_who, session_user, v_client, p_epoch, p_kind, p_data::text)::text, 'UTF8')), 'hex'))
            ON CONFLICT (COALESCE(change, 0), seq) DO NOTHING
        RETURNING event INTO v_event;
        IF v_event IS NOT NULL THEN
            RETURN v_event;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'the history was written by others in each of 1000 tries' USING ERRCODE = '40001';
END
$$;

-- Take the lead of a change: NULL while another executor's heartbeat runs, otherwise the new epoch.
-- One call, so that no client round trip falls between the locks; statements of their own, so that each sees what was
-- committed before it. The lease row is locked before the journal is read: whoever starts a step shares that row
-- (journal.sql, leader), so a step is either seen and fenced here or cannot be started any more.
CREATE FUNCTION osc.take_lease(p_change bigint, p_owner uuid, p_lease_s double precision) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_epoch bigint;
BEGIN
    PERFORM FROM osc.heartbeat AS h
      WHERE h.change = p_change
        AND (h.owner IS NULL OR h.owner = p_owner OR h.expires_at <= clock_timestamp())
        FOR UPDATE;
    IF NOT FOUND THEN
        IF NOT EXISTS (SELECT FROM osc.heartbeat AS h WHERE h.change = p_change) THEN
            RAISE EXCEPTION 'change % has no heartbeat row', p_change USING ERRCODE = 'OSC04';
        END IF;
        RETURN NULL;
    END IF;

    UPDATE osc.lease AS l SET epoch = l.epoch + 1, owner = p_owner, taken_at = clock_timestamp()
     WHERE l.change = p_change
    RETURNING l.epoch INTO v_epoch;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'change % has no lease row', p_change USING ERRCODE = 'OSC04';
    END IF;

    -- What the old epoch left open can match no row any more: this, not the lease, is the fence.
    UPDATE osc.step AS s SET epoch = v_epoch
     WHERE s.change = p_change AND s.state IN ('started', 'undoing');
    UPDATE osc.slice AS s SET epoch = s.epoch + 1, owner = NULL
     WHERE s.change = p_change;

    UPDATE osc.heartbeat AS h
       SET owner = p_owner, epoch = v_epoch, lease_s = p_lease_s,
           expires_at = clock_timestamp() + make_interval(secs => p_lease_s)
     WHERE h.change = p_change;
    RETURN v_epoch;
END
$$;

-- A mark of the change's triggers that differs once one of them was disabled, dropped or made anew, even where it is as
-- before now: rows written meanwhile may be out of step (F43). A trigger's catalog row gets a new xmin by each of these.
CREATE FUNCTION osc.triggers_mark(p_change bigint) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(string_agg(concat_ws(':', g.oid, g.xmin, g.tgenabled), ' ' ORDER BY g.oid), '')
      FROM osc.change AS c
      JOIN pg_catalog.pg_description AS d
        ON d.classoid = 'pg_catalog.pg_proc'::regclass AND d.objsubid = 0 AND d.description = 'osc:' || c.id
      JOIN pg_catalog.pg_trigger AS g ON g.tgfoid = d.objoid
     WHERE c.change = p_change
$$;

-- Whether a change is paused, by itself, by one of its tables or by all; read from the caller's snapshot, no locks.
CREATE FUNCTION osc.is_paused(p_change bigint) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM osc.change AS c
         WHERE c.change = p_change
           AND (c.paused OR EXISTS (
                   SELECT FROM osc.pause AS p
                    WHERE p.scope = '*' OR p.scope IN (SELECT 'table:' || t.name FROM unnest(c.tables) AS t (name)))))
$$;

-- Last, because racing creators shall meet at the name of the first object: two who change one schema's privileges at
-- once get an internal error ("tuple concurrently updated").
REVOKE ALL ON SCHEMA osc FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA osc FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA osc FROM PUBLIC;
