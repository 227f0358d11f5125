-- Marks an open turn unknown, and gives the thread up; a planned turn only loses the thread.
CREATE FUNCTION set_aside_1(
    _thread_id bigint, _owner text, _fence bigint, _turn_id bigint, _code text, _message text
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _stands boolean;
    _turn turns;
BEGIN
    SELECT t.lease_owner = _owner AND t.fence = _fence INTO _stands
    FROM threads t WHERE t.id = _thread_id FOR NO KEY UPDATE;
    SELECT u.* INTO _turn FROM turns u WHERE u.id = _turn_id AND u.thread = _thread_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'no such turn on the thread';
    END IF;
    IF NOT _stands AND _turn.state IN ('planned', 'unknown') AND _turn.fence = _fence THEN
        RETURN;
    END IF;
    IF NOT _stands OR _turn.settled_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the turn is not to be set aside';
    END IF;
    IF _turn.state = 'planned' THEN
        UPDATE turns SET fence = _fence WHERE id = _turn_id;
    ELSE
        UPDATE turns SET state = 'unknown', fence = _fence WHERE id = _turn_id;
        UPDATE attempts SET error_code = _code, error_message = _message
        WHERE turn = _turn_id AND number = _turn.attempts;
    END IF;
    UPDATE threads SET lease_owner = '', lease_expires_at = NULL WHERE id = _thread_id;
END $$
