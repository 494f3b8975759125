-- Partitioned tables are walked leaf by leaf. The oid is the leaf's: it may be renamed while it is walked.
-- Ranges of a verification have the leaf as a fourth part, null where the table has none.
ALTER TABLE osc.slice ADD COLUMN leaf oid;
