-- Submits a planned turn of a thread that is held.
CREATE FUNCTION submit_2(
    _thread_id bigint, _owner text, _fence bigint, _turn_id bigint,
    _prompt text, _version text, _schema text, _after bigint, _generation bigint, _shown text
) RETURNS claimed_2 LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _thread threads;
    _turn turns;
    _live bigint;
    _item text;
BEGIN
    SELECT t.* INTO _thread FROM threads t WHERE t.id = _thread_id FOR NO KEY UPDATE;
    SELECT u.* INTO _turn FROM turns u WHERE u.id = _turn_id AND u.thread = _thread_id;
    IF NOT FOUND OR _thread.lease_owner <> _owner OR _thread.fence <> _fence THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the lease does not stand';
    END IF;
    IF NOT (_turn.state = 'submitted' AND _turn.fence = _fence) THEN
        PERFORM refuse_unusable_1(_thread.state);
        SELECT g.number, g.last_item_id INTO _live, _item FROM generations g
        WHERE g.thread = _thread_id AND g.state = 'live' AND g.number = _generation;
        IF NOT FOUND OR _turn.state <> 'planned' OR _thread.turn_count <> _after
           OR EXISTS (SELECT FROM turns o
                      WHERE o.thread = _thread_id AND o.state IN ('submitted', 'unknown')) THEN
            RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'stale submission';
        END IF;
        UPDATE turns SET
            state = 'submitted', sequence = _after + 1, fence = _fence,
            assistant_version = _version, answer_schema = _schema,
            generation = _live, attempts = attempts + 1
        WHERE id = _turn_id;
        UPDATE threads SET turn_count = _after + 1 WHERE id = _thread_id;
        INSERT INTO attempts (turn, number, thread, generation, item_before, shown, sent_at,
                              prompt)
        VALUES (_turn_id, _turn.attempts + 1, _thread_id, _live, _item, _shown,
                clock_timestamp(), _prompt);
    END IF;
    RETURN (
        'submitted', _fence, _turn_id, _turn.ticket, 0, 0,
        (SELECT v FROM thread_rows_2 v WHERE v.id = _thread_id),
        (SELECT v FROM turn_rows_2 v WHERE v.id = _turn_id),
        (SELECT v FROM attempt_rows_1 v WHERE v.turn = _turn_id ORDER BY v.number DESC LIMIT 1),
        NULL
    )::claimed_2;
END $$
