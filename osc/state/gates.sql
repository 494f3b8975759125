-- Gates that somebody opened.

-- name: open_gate
-- A repeat does nothing; what was given for another program, or counts no more, is given anew.
WITH opened AS (
    INSERT INTO osc.gate AS g (change, gate, opened_by, program_hash, reason)
    VALUES (%(change)s, %(gate)s, %(who)s, %(program_hash)s, %(reason)s)
        ON CONFLICT (change, gate) DO UPDATE
           SET opened_by = EXCLUDED.opened_by, role = session_user, opened_at = clock_timestamp(),
               program_hash = EXCLUDED.program_hash, reason = EXCLUDED.reason
         WHERE g.program_hash <> EXCLUDED.program_hash
            OR %(valid_s)s > 0 AND g.opened_at < clock_timestamp() - make_interval(secs => %(valid_s)s)
    RETURNING g.change
)
SELECT osc.record_event(opened.change, 'ack', %(data)s, %(who)s, NULL) AS event FROM opened

-- name: revoke_gate
-- Until the phase begins.
WITH revoked AS (
    DELETE FROM osc.gate AS g
     WHERE g.change = %(change)s AND g.gate = %(gate)s
       AND NOT EXISTS (SELECT FROM osc.phase AS p WHERE p.change = g.change AND p.phase = %(phase)s)
    RETURNING g.change
)
SELECT osc.record_event(revoked.change, 'revoke', %(data)s, %(who)s, NULL) AS event FROM revoked

-- name: opened
SELECT g.change, g.gate, g.opened_by, g.role, g.opened_at, g.program_hash, g.reason,
       extract(epoch FROM clock_timestamp() - g.opened_at)::float8 AS opened_s_ago
  FROM osc.gate AS g WHERE g.change = ANY (%(changes)s::bigint[]) ORDER BY g.change, g.opened_at
