-- The history. Written by osc.record_event alone (migrations/0001_state.sql).

-- name: record
SELECT osc.record_event(%(change)s, %(kind)s, %(data)s, %(who)s, %(epoch)s) AS event

-- name: history
-- `data_text` is what was hashed: jsonb has one text form, which a client's parser would not give back.
SELECT e.event, e.change, e.seq, e.at, e.who, e.role, e.client, e.epoch, e.kind, e.data, e.data::text AS data_text,
       e.previous, e.hash
  FROM osc.event AS e
 WHERE %(change)s::bigint IS NULL OR COALESCE(e.change, 0) = %(change)s
 ORDER BY e.event
