-- The server's time, by which leases, gates and waits are judged.

-- name: now
SELECT pg_catalog.clock_timestamp()
