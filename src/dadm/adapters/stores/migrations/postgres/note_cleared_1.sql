-- Writes down that nothing of a closed thread is left at its backends.
CREATE FUNCTION note_cleared_1(_thread_id bigint, _owner text, _fence bigint)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _thread threads;
    _now timestamptz;
BEGIN
    SELECT t.* INTO _thread FROM threads t
    WHERE t.id = _thread_id AND t.lease_owner = _owner AND t.fence = _fence
    FOR NO KEY UPDATE;
    IF NOT FOUND OR _thread.state <> 'closed'
       OR EXISTS (SELECT FROM generations g
                  WHERE g.thread = _thread_id AND g.state <> 'erased') THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the thread is not to be cleared';
    ELSIF _thread.cleared_at IS NOT NULL THEN
        RETURN;
    END IF;
    _now := clock_timestamp();
    UPDATE threads SET cleared_at = _now WHERE id = _thread_id;
    INSERT INTO audit_entries (thread, at, action, detail)
    SELECT _thread_id, _now, 'cleared',
           format('%s conversations, %s items, %s responses, %s ids refused', count(*),
                  coalesce(sum(c.deleted_items), 0), coalesce(sum(c.deleted_responses), 0),
                  coalesce(sum(json_array_length(c.unreachable::json)), 0))
    FROM erased_conversations c WHERE c.thread = _thread_id;
END $$
