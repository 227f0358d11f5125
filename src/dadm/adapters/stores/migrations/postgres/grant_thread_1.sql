-- Takes a thread whose row is locked, whatever tickets there are, unless somebody else holds it.
CREATE FUNCTION grant_thread_1(_thread threads, _owner text, _lease_seconds double precision)
RETURNS claimed_2 LANGUAGE plpgsql AS $$
DECLARE
    _now timestamptz := clock_timestamp();
    _open bigint;
BEGIN
    IF _thread.lease_owner NOT IN ('', _owner) AND _thread.lease_expires_at > _now THEN
        RETURN (
            'held', _thread.fence, NULL, NULL, 0,
            extract(epoch FROM _thread.lease_expires_at - _now), NULL, NULL, NULL, NULL
        )::claimed_2;
    END IF;
    UPDATE threads t SET
        fence = t.fence + (t.lease_owner <> _owner)::int,
        lease_owner = _owner,
        lease_expires_at = _now + make_interval(secs => _lease_seconds)
    WHERE t.id = _thread.id
    RETURNING t.fence INTO _thread.fence;
    SELECT u.id INTO _open FROM turns u
    WHERE u.thread = _thread.id AND u.state IN ('submitted', 'unknown');
    RETURN (
        'granted', _thread.fence, NULL, NULL, 0, 0,
        (SELECT v FROM thread_rows_2 v WHERE v.id = _thread.id), NULL,
        (SELECT v FROM attempt_rows_1 v WHERE v.turn = _open ORDER BY v.number DESC LIMIT 1),
        (SELECT v FROM turn_rows_2 v WHERE v.id = _open)
    )::claimed_2;
END $$
