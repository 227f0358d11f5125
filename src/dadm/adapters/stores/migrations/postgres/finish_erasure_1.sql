-- Deletes a thread's turns with their texts, and writes its receipt; what was finished under this
-- very fence is given again.
CREATE FUNCTION finish_erasure_1(_thread_id bigint, _owner text, _fence bigint)
RETURNS SETOF erasures LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _thread threads;
    _receipt erasures;
BEGIN
    SELECT t.* INTO _thread FROM threads t WHERE t.id = _thread_id FOR NO KEY UPDATE;
    IF FOUND AND _thread.state = 'erased' AND _thread.fence = _fence THEN
        RETURN QUERY SELECT e.* FROM erasures e WHERE e.thread = _thread_id;
        RETURN;
    END IF;
    IF _thread.id IS NULL OR _thread.state <> 'erasing'
       OR _thread.lease_owner <> _owner OR _thread.fence <> _fence
       OR EXISTS (SELECT FROM generations g
                  WHERE g.thread = _thread_id AND g.state <> 'erased') THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the erasure is not to be finished';
    END IF;
    -- In the orders in which tickets are kept, turns reported and runs named, each of them several
    -- in one transaction.
    PERFORM FROM turns u WHERE u.thread = _thread_id AND u.settled_at IS NULL
    ORDER BY u.id
    FOR UPDATE;
    PERFORM FROM turns u JOIN scopes z ON z.id = u.scope
    WHERE u.thread = _thread_id AND u.settled_at IS NOT NULL
    ORDER BY z.engine COLLATE "C", z.tenant COLLATE "C", z.name COLLATE "C", u.task_id COLLATE "C"
    FOR UPDATE OF u;
    PERFORM FROM attempts k JOIN turns u ON u.id = k.turn WHERE u.thread = _thread_id
    ORDER BY k.turn, k.number
    FOR UPDATE OF k;
    UPDATE erasures e SET
        erased_at = clock_timestamp(),
        turns = (SELECT count(*) FROM turns u WHERE u.thread = _thread_id),
        conversations = (SELECT count(*) FROM generations g WHERE g.thread = _thread_id),
        unnamed_responses = (
            SELECT count(*) FROM turns u
            JOIN attempts k ON k.turn = u.id
            LEFT JOIN responses r ON r.turn = k.turn AND r.number = k.number
            WHERE u.thread = _thread_id AND r.turn IS NULL),
        deleted_items = (
            SELECT coalesce(sum(c.deleted_items), 0) FROM erased_conversations c
            WHERE c.thread = _thread_id),
        deleted_responses = (
            SELECT coalesce(sum(c.deleted_responses), 0) FROM erased_conversations c
            WHERE c.thread = _thread_id),
        unreachable = (
            SELECT coalesce(json_agg(n.name ORDER BY c.number, n.place)::text, '[]')
            FROM erased_conversations c
            CROSS JOIN json_array_elements_text(c.unreachable::json)
                WITH ORDINALITY AS n (name, place)
            WHERE c.thread = _thread_id)
    WHERE e.thread = _thread_id
    RETURNING e.* INTO _receipt;
    DELETE FROM answers WHERE turn IN (SELECT u.id FROM turns u WHERE u.thread = _thread_id);
    DELETE FROM responses WHERE turn IN (SELECT u.id FROM turns u WHERE u.thread = _thread_id);
    DELETE FROM attempts WHERE turn IN (SELECT u.id FROM turns u WHERE u.thread = _thread_id);
    DELETE FROM turns WHERE thread = _thread_id;
    UPDATE threads SET
        state = 'erased', shown = '{}', chain = NULL, exchange_count = 0,
        lease_owner = '', lease_expires_at = NULL
    WHERE id = _thread_id;
    INSERT INTO audit_entries (thread, at, action, detail)
    VALUES (
        _thread_id, _receipt.erased_at, 'erased',
        format('%s turns, %s conversations, %s ids refused', _receipt.turns,
               _receipt.conversations, json_array_length(_receipt.unreachable::json))
    );
    RETURN NEXT _receipt;
END $$
