-- name: behind_osc
-- Who waits behind a session of osc. It takes no lock of the lock manager: the function is read instead of the view
-- pg_stat_activity, which joins two catalogs. pg_blocking_pids holds the lock manager's partitions for a moment, so
-- only who waits is asked about; pg_lock_status is read only if there is such a session.
WITH waiting AS MATERIALIZED (
    SELECT a.pid, a.application_name
    FROM pg_stat_get_activity(NULL) a
    WHERE a.wait_event_type = 'Lock' AND coalesce(a.application_name, '') NOT LIKE 'osc:%'
), behind AS MATERIALIZED (
    SELECT w.pid, w.application_name, b.application_name AS behind
    FROM waiting w
    CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS blocker (pid)
    JOIN pg_stat_get_activity(NULL) b ON b.pid = blocker.pid AND b.application_name LIKE 'osc:%'
)
SELECT DISTINCT ON (behind.pid)
       behind.pid,
       (SELECT extract(epoch FROM clock_timestamp() - min(l.waitstart))::float8
        FROM pg_lock_status() l WHERE l.pid = behind.pid AND NOT l.granted) AS waits_s,
       coalesce(nullif(behind.application_name, ''), 'pid ' || behind.pid) AS who,
       behind.behind
FROM behind
ORDER BY behind.pid

-- name: delete_surplus
DELETE FROM pgbench_accounts WHERE aid > %(rows)s

-- name: vacuum
VACUUM (ANALYZE) pgbench_accounts

-- name: create_journal
-- The new application writes down what it does in the transaction that does it, as pgbench_history does for the old.
-- On one account the ids follow the order of the writes: they are drawn under the row lock of the account.
CREATE TABLE app2_journal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    aid integer NOT NULL,
    set_to bigint,
    delta bigint,
    CHECK (num_nonnulls(set_to, delta) = 1)
)

-- name: mismatches
-- One statement is one snapshot, and a row is one version: no write in between can make the columns differ.
SELECT count(*) FROM pgbench_accounts WHERE balance IS DISTINCT FROM abalance

-- name: count_rows
SELECT count(*) FROM pgbench_accounts

-- name: lost_increments
-- Every account must hold the last value that was set plus every increment recorded since. For one that does not, all
-- its increments count as lost (at least one): which of them it was, nobody can tell.
WITH last_set AS (
    SELECT DISTINCT ON (aid) aid, id, set_to
    FROM app2_journal WHERE set_to IS NOT NULL
    ORDER BY aid, id DESC
), increments AS (
    SELECT aid, delta FROM pgbench_history
    UNION ALL
    SELECT j.aid, j.delta
    FROM app2_journal j LEFT JOIN last_set s USING (aid)
    WHERE j.delta IS NOT NULL AND j.id > coalesce(s.id, 0)
), added AS (
    SELECT aid, sum(delta) AS delta, count(*) AS increments FROM increments GROUP BY aid
)
SELECT coalesce(sum(greatest(coalesce(added.increments, 0), 1)), 0)::bigint
FROM pgbench_accounts a
FULL JOIN added ON added.aid = a.aid
LEFT JOIN last_set ON last_set.aid = a.aid
WHERE a.balance IS DISTINCT FROM coalesce(last_set.set_to, 0) + coalesce(added.delta, 0)
