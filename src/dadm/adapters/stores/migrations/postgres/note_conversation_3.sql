-- Writes a conversation down as building, with the thread's next number, or as retired where the
-- thread was erased; one that is known already is given again, whichever thread it is of. A closed
-- thread that was cleared waits to be cleared again.
CREATE FUNCTION note_conversation_3(
    _thread_id bigint, _conversation text, _identity text, _reason text,
    _from bigint, _to bigint
) RETURNS SETOF generations LANGUAGE plpgsql AS $$
DECLARE
    _is_late boolean;
BEGIN
    SELECT t.state = 'erased' INTO _is_late
    FROM threads t WHERE t.id = _thread_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DM006', MESSAGE = 'no such thread';
    END IF;
    INSERT INTO generations (thread, number, identity, conversation_id, state, reason,
                             opened_from, opened_to, created_at, retired_at)
    SELECT _thread_id, coalesce(max(g.number), 0) + 1, _identity, _conversation,
           CASE WHEN _is_late THEN 'retired' ELSE 'building' END,
           _reason, _from, _to, clock_timestamp(),
           CASE WHEN _is_late THEN clock_timestamp() END
    FROM generations g WHERE g.thread = _thread_id
    ON CONFLICT (conversation_id, identity) DO NOTHING;
    IF FOUND THEN
        UPDATE threads SET cleared_at = NULL WHERE id = _thread_id AND cleared_at IS NOT NULL;
    END IF;
    RETURN QUERY SELECT g.* FROM generations g
    WHERE g.conversation_id = _conversation AND g.identity = _identity;
END $$
