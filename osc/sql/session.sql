-- What a new session is asked and told. Names are qualified and types given, because until `pin` has run the role's
-- own search_path may put a function of somebody else's before PostgreSQL's.

-- name: probe
-- The first transaction: leaves a mark in the session, and nothing that would disturb another client of a pooler.
SELECT pg_catalog.pg_backend_pid() AS pid,
       pg_catalog.set_config('osc.probe', %(mark)s::pg_catalog.text, false) AS mark,
       pg_catalog.pg_is_in_recovery() AS in_recovery;

-- name: probe_again
-- A later transaction: is it the same backend, does it know the mark?
SELECT pg_catalog.pg_backend_pid() AS pid,
       pg_catalog.current_setting('osc.probe', true) AS mark;

-- name: pin
-- Set every parameter given and read it back, in one statement, and only if this is the backend that was probed: a
-- pooler in transaction mode would hand our settings to its other clients. A parameter with `only_if` is set only
-- where its value is that one; empty is any, and not NULL, which array_nulls = off would read as a word.
SELECT w.name, w.value,
       pg_catalog.set_config(w.name, w.value, false) AS actual
FROM ROWS FROM (
    pg_catalog.unnest(%(names)s::pg_catalog.text[]),
    pg_catalog.unnest(%(values)s::pg_catalog.text[]),
    pg_catalog.unnest(%(only_if)s::pg_catalog.text[])
) AS w (name, value, only_if)
WHERE pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) %(pid)s::pg_catalog.int4
  AND pg_catalog.current_setting('osc.probe', true) OPERATOR(pg_catalog.=) %(mark)s::pg_catalog.text
  AND (w.only_if OPERATOR(pg_catalog.=) '' OR pg_catalog.current_setting(w.name, true) OPERATOR(pg_catalog.=) w.only_if);

-- name: set_timeouts
SELECT pg_catalog.set_config('statement_timeout', %(statement_timeout)s, false),
       pg_catalog.set_config('lock_timeout', %(lock_timeout)s, false);

-- name: deadlock_timeout_ms
SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout';
