-- Writes down that a conversation is gone at its backend, the first time that it is said.
CREATE FUNCTION note_erased_1(
    _thread_id bigint, _number bigint, _items bigint, _responses bigint, _unreachable text
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _state text;
BEGIN
    SELECT t.state INTO _state FROM threads t WHERE t.id = _thread_id FOR NO KEY UPDATE;
    UPDATE generations SET state = 'erased'
    WHERE thread = _thread_id AND number = _number AND state <> 'erased'
      AND (state <> 'live' OR _state = 'erasing');
    IF FOUND THEN
        INSERT INTO erased_conversations
            (thread, number, deleted_items, deleted_responses, unreachable)
        VALUES (_thread_id, _number, _items, _responses, _unreachable);
    END IF;
END $$
