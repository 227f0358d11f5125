-- Makes a building conversation the live one, or leaves a conversation for good.
CREATE FUNCTION change_generation_1(
    _thread_id bigint, _owner text, _fence bigint, _number bigint, _state text
) RETURNS SETOF generations LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _before text;
BEGIN
    PERFORM FROM threads t
    WHERE t.id = _thread_id AND t.lease_owner = _owner AND t.fence = _fence
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the lease does not stand';
    END IF;
    SELECT g.state INTO _before FROM generations g
    WHERE g.thread = _thread_id AND g.number = _number;
    IF _before IS NULL OR (_state = 'live' AND _before NOT IN ('building', 'live')) THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'no such building conversation';
    END IF;
    IF _state = 'live' THEN
        UPDATE generations SET state = 'retired'
        WHERE thread = _thread_id AND state = 'live' AND number <> _number;
        UPDATE threads SET state = 'open' WHERE id = _thread_id AND state = 'parked';
    END IF;
    UPDATE generations SET state = _state
    WHERE thread = _thread_id AND number = _number
      AND state IN ('building', 'live') AND state <> _state;
    RETURN QUERY SELECT g.* FROM generations g
    WHERE g.thread = _thread_id AND g.number = _number;
END $$
