-- How a slice is walked: by which key its positions are, and in which file of the table positions by block hold. What
-- waves achieve is counted, for whoever watches.
ALTER TABLE osc.verification
    ADD COLUMN ranges jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(ranges) = 'array'),  -- [lo, hi, rows or null while open]
    ADD COLUMN digest text NOT NULL DEFAULT '';                                             -- of what is asked of a row
ALTER TABLE osc.slice
    ADD COLUMN walk       text NOT NULL DEFAULT 'keyset' CHECK (walk IN ('keyset', 'blocks')),
    ADD COLUMN filenode   oid,
    ADD COLUMN waves_rest boolean NOT NULL DEFAULT false,
    ADD COLUMN rows_waved bigint NOT NULL DEFAULT 0 CHECK (rows_waved >= 0),
    ADD COLUMN rows_hot   bigint NOT NULL DEFAULT 0 CHECK (rows_hot >= 0),
    ADD CONSTRAINT slice_walk CHECK ((walk = 'blocks') = (filenode IS NOT NULL));

-- How far a step is and how fast it goes, as its executor told last: amounts, their unit, the rate of the last minutes.
ALTER TABLE osc.step ADD COLUMN progress jsonb;
