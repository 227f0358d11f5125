-- Ends a turn as completed, refused or abandoned, and gives the thread up unless it is to be kept.
-- What was settled under this very fence is given again.
CREATE FUNCTION settle_2(
    _thread_id bigint, _owner text, _fence bigint, _turn_id bigint, _keeps boolean,
    _end text, _answer text, _item text, _is_recovered boolean, _code text, _reason text,
    _input bigint, _output bigint, _cached bigint
) RETURNS SETOF turn_rows_2 LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _stands boolean;
    _turn turns;
    _prompt text;
    _shown text := '{}';
    _chain bytea;
    _now timestamptz;
BEGIN
    SELECT t.lease_owner = _owner AND t.fence = _fence, t.chain INTO _stands, _chain
    FROM threads t WHERE t.id = _thread_id FOR NO KEY UPDATE;
    SELECT u.* INTO _turn FROM turns u WHERE u.id = _turn_id AND u.thread = _thread_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'no such turn on the thread';
    END IF;
    IF _turn.settled_at IS NOT NULL AND _turn.fence = _fence THEN
        UPDATE threads SET lease_owner = '', lease_expires_at = NULL
        WHERE id = _thread_id AND _stands AND NOT _keeps;
    ELSE
        IF NOT _stands OR _turn.settled_at IS NOT NULL
           OR (_end = 'completed' AND _turn.state = 'planned') THEN
            RAISE EXCEPTION USING ERRCODE = 'DM001', MESSAGE = 'the turn is not to be settled';
        END IF;
        _now := clock_timestamp();
        UPDATE turns SET
            state = _end, fence = _fence, recovered = _is_recovered, settled_at = _now,
            ticket_expires_at = NULL,
            refusal_code = _code, refusal_reason = _reason,
            input_tokens = _input, output_tokens = _output, cached_tokens = _cached
        WHERE id = _turn_id;
        IF _end = 'completed' THEN
            SELECT k.shown, k.prompt INTO _shown, _prompt FROM attempts k
            WHERE k.turn = _turn_id AND k.number = _turn.attempts;
            -- As the program's next_link has it.
            _chain := sha256(convert_to(
                coalesce(encode(_chain, 'hex'), '') || E'\n' || _turn.sequence || E'\n'
                || char_length(_prompt) || E'\n' || _prompt || _answer, 'UTF8'));
            INSERT INTO answers (turn, text, link) VALUES (_turn_id, _answer, _chain);
            IF _item <> '' THEN
                UPDATE generations SET last_item_id = _item
                WHERE thread = _thread_id AND number = _turn.generation AND state = 'live';
            END IF;
        END IF;
        IF _end <> 'completed' OR _is_recovered THEN
            INSERT INTO audit_entries (thread, turn, at, action, detail)
            VALUES (
                _thread_id, _turn_id, _now,
                CASE _end WHEN 'completed' THEN 'recovered' ELSE _end END,
                CASE _end WHEN 'completed' THEN 'attempt ' || _turn.attempts
                    WHEN 'refused' THEN _code ELSE _reason END
            );
        END IF;
        UPDATE threads SET
            exchange_count = exchange_count + (_end = 'completed')::int,
            chain = _chain,
            last_turn_at = CASE _end WHEN 'completed' THEN _now ELSE last_turn_at END,
            shown = CASE WHEN _shown = '{}' THEN shown
                ELSE (shown::jsonb || _shown::jsonb)::text END,
            input_tokens = input_tokens + _input,
            output_tokens = output_tokens + _output,
            cached_tokens = cached_tokens + _cached,
            lease_owner = CASE WHEN _keeps THEN lease_owner ELSE '' END,
            lease_expires_at = CASE WHEN _keeps THEN lease_expires_at END
        WHERE id = _thread_id;
    END IF;
    RETURN QUERY SELECT v.* FROM turn_rows_2 v WHERE v.id = _turn_id;
END $$
