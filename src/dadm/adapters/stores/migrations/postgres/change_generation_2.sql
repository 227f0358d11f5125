-- Makes a building conversation the live one, or leaves a conversation for good.
CREATE FUNCTION change_generation_2(
    _thread_id bigint, _owner text, _fence bigint, _number bigint, _state text
) RETURNS SETOF generations LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _given generations;
    _left text;
    _now timestamptz;
BEGIN
    PERFORM FROM threads t
    WHERE t.id = _thread_id AND t.lease_owner = _owner AND t.fence = _fence
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the lease does not stand';
    END IF;
    SELECT g.* INTO _given FROM generations g
    WHERE g.thread = _thread_id AND g.number = _number;
    IF NOT FOUND OR (_state = 'live' AND _given.state NOT IN ('building', 'live')) THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'no such building conversation';
    END IF;
    _now := clock_timestamp();
    IF _state = 'live' AND _given.state = 'building' THEN
        IF _given.reason <> 'first' THEN
            SELECT g.conversation_id INTO _left FROM generations g
            WHERE g.thread = _thread_id AND (
                g.state = 'live'
                OR (g.number < _number AND g.state IN ('retired', 'erased')))
            ORDER BY (g.state = 'live') DESC, g.number DESC LIMIT 1;
            INSERT INTO audit_entries (thread, at, action, detail)
            VALUES (
                _thread_id, _now,
                CASE _given.reason WHEN 'fenced' THEN 'fenced' ELSE 'rebuilt' END,
                format('%s: %s -> %s, %s messages copied', _given.reason,
                       coalesce(_left, 'none'), _given.conversation_id, _given.copied_messages)
            );
        END IF;
        UPDATE generations SET state = 'retired', retired_at = _now
        WHERE thread = _thread_id AND state = 'live';
        UPDATE threads SET state = 'open' WHERE id = _thread_id AND state = 'parked';
    END IF;
    UPDATE generations SET
        state = _state, retired_at = CASE _state WHEN 'retired' THEN _now END
    WHERE thread = _thread_id AND number = _number
      AND state IN ('building', 'live') AND state <> _state;
    RETURN QUERY SELECT g.* FROM generations g
    WHERE g.thread = _thread_id AND g.number = _number;
END $$
