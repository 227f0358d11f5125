-- Parks an open thread: its conversations are left, and it heals on its next task.
CREATE FUNCTION park_1(_thread_id bigint, _owner text, _fence bigint)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _state text;
    _now timestamptz;
BEGIN
    SELECT t.state INTO _state FROM threads t
    WHERE t.id = _thread_id AND t.lease_owner = _owner AND t.fence = _fence
    FOR NO KEY UPDATE;
    IF NOT FOUND OR _state NOT IN ('open', 'parked') THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the thread is not to be parked';
    ELSIF _state = 'parked' THEN
        RETURN;
    ELSIF EXISTS (SELECT FROM turns u
                  WHERE u.thread = _thread_id AND u.state IN ('submitted', 'unknown')) THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'a turn is open';
    END IF;
    _now := clock_timestamp();
    UPDATE threads SET state = 'parked' WHERE id = _thread_id;
    UPDATE generations SET state = 'retired', retired_at = _now
    WHERE thread = _thread_id AND state IN ('building', 'live');
    INSERT INTO audit_entries (thread, at, action, detail)
    VALUES (_thread_id, _now, 'parked', '');
END $$
