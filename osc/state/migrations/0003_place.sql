-- Where the state lives, as far as a physical copy differs from it: such a copy has the system identifier and the oid of
-- its original (F99). A promoted server is on a later timeline and goes on; one that claims the same timeline on another
-- port is a copy that somebody started.
ALTER TABLE osc.meta
    ADD COLUMN server_port integer NOT NULL DEFAULT pg_catalog.current_setting('port')::integer,
    ADD COLUMN timeline    text NOT NULL
        DEFAULT pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8);
