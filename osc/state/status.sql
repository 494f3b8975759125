-- What only status asks.

-- name: one_snapshot
-- First in its transaction: all that follows is of one moment, and nothing can be written.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
