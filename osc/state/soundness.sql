-- What only the check for damage asks.

-- name: epochs
-- No step, no heartbeat can be of an epoch that the lease has not had. One row, whatever is missing.
SELECT (SELECT l.epoch FROM osc.lease AS l WHERE l.change = %(change)s) AS epoch,
       (SELECT h.epoch FROM osc.heartbeat AS h WHERE h.change = %(change)s) AS beat,
       (SELECT max(o.epoch)
          FROM (SELECT s.epoch FROM osc.step AS s WHERE s.change = %(change)s
                UNION ALL
                SELECT h.epoch FROM osc.heartbeat AS h WHERE h.change = %(change)s) AS o) AS ahead
