-- Takes an open turn back to planned; without its lease it gives up its place in the line too.
-- Only about its latest attempt: a call may arrive late, while the lease is still held.
CREATE FUNCTION replan_2(
    _thread_id bigint, _owner text, _fence bigint, _turn_id bigint, _attempt bigint,
    _code text, _message text,
    _keeps boolean
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
    IF _turn.attempts <> _attempt THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the turn was asked again since';
    END IF;
    IF NOT (_turn.state = 'planned' AND _turn.fence = _fence) THEN
        IF NOT _stands OR _turn.state NOT IN ('submitted', 'unknown') THEN
            RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the turn is not to be replanned';
        END IF;
        UPDATE turns SET state = 'planned', sequence = 0, fence = _fence WHERE id = _turn_id;
        UPDATE threads SET turn_count = turn_count - 1 WHERE id = _thread_id;
        UPDATE attempts SET error_code = _code, error_message = _message
        WHERE turn = _turn_id AND number = _turn.attempts;
        INSERT INTO audit_entries (thread, turn, at, action, detail)
        VALUES (_thread_id, _turn_id, clock_timestamp(), 'asked_again', _code);
    END IF;
    IF _stands AND NOT _keeps THEN
        UPDATE turns SET ticket_expires_at = NULL WHERE id = _turn_id;
        UPDATE threads SET lease_owner = '', lease_expires_at = NULL WHERE id = _thread_id;
    END IF;
END $$
