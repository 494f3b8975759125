-- What a fill overwrote of the application's own, until contract: key and values of each row, so that the way back can
-- put them back. Written by the batch itself (osc.sql.kept), in the statement that changes the row.

-- One row for each row of the table that was given a value of ours. `key` is the row's key, as cursors are. `ours` has
-- the text of each value that was written, by column; `was` the text of what stood there, and no entry where that was
-- NULL, which is the usual case and so costs nothing. The primary key is the only index, and batches walk it.
CREATE TABLE osc.kept (
    change   bigint NOT NULL,
    step     text NOT NULL,
    key      text[] COLLATE "C" NOT NULL,
    was      jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(was) = 'object'),
    ours     jsonb NOT NULL CHECK (jsonb_typeof(ours) = 'object'),
    PRIMARY KEY (change, step, key)
);
REVOKE ALL ON osc.kept FROM PUBLIC;
