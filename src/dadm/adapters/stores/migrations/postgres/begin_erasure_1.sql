-- Lets a thread take no more turns, since it is to be erased.
CREATE FUNCTION begin_erasure_1(_thread_id bigint, _owner text, _fence bigint)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _state text;
    _now timestamptz;
BEGIN
    SELECT t.state INTO _state FROM threads t
    WHERE t.id = _thread_id AND t.lease_owner = _owner AND t.fence = _fence
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the lease does not stand';
    ELSIF _state = 'erasing' THEN
        RETURN;
    ELSIF EXISTS (SELECT FROM turns u
                  WHERE u.thread = _thread_id AND u.state IN ('submitted', 'unknown')) THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'a turn is open';
    END IF;
    _now := clock_timestamp();
    UPDATE threads SET state = 'erasing' WHERE id = _thread_id;
    INSERT INTO erasures (thread, begun_at) VALUES (_thread_id, _now);
    INSERT INTO audit_entries (thread, at, action, detail)
    VALUES (_thread_id, _now, 'erasure_begun', _state);
END $$
