-- Finds or creates thread and turn, takes a ticket, takes the thread if it is free for the turn,
-- and submits the turn if it can be.
--
-- A function and not one query: a query sees the database as it was before it waited for the
-- thread's lock. Here each statement after the lock sees what the session before has committed.
CREATE FUNCTION claim_2(
    _engine text, _tenant text, _scope text, _assistant text,
    _turn_engine text, _turn_tenant text, _turn_scope text, _task_id text,
    _digest text, _element text, _definition text,
    _owner text, _lease_seconds double precision, _ticket_seconds double precision,
    _is_strict boolean,
    _asks boolean, _prompt text, _version text, _schema text,
    _after bigint, _generation bigint, _shown text
) RETURNS claimed_2 LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _thread threads;
    _turn turns;
    _now timestamptz;
    _is_new boolean;
    _is_released boolean;
    _waits boolean;
    _ahead bigint;
    _is_held boolean;
    _is_granted boolean;
    _open bigint;
    _live generations;
    _is_submitted boolean;
    _already boolean;
BEGIN
    LOOP
        _is_released := false;
        _is_submitted := false;
        _already := false;
        _ahead := 0;
        SELECT u.* INTO _turn
        FROM turns u JOIN scopes z ON z.id = u.scope
        WHERE z.engine = _turn_engine AND z.tenant = _turn_tenant AND z.name = _turn_scope
          AND u.task_id = _task_id;
        _is_new := NOT FOUND;
        IF _is_new THEN
            _thread := open_thread_1(_engine, _tenant, _scope, _assistant);
            PERFORM refuse_unusable_1(_thread.state);
        ELSE
            SELECT t.* INTO _thread FROM threads t WHERE t.id = _turn.thread FOR NO KEY UPDATE;
            -- The turn may have changed while its thread was waited for.
            SELECT u.* INTO _turn FROM turns u WHERE u.id = _turn.id;
            CONTINUE WHEN NOT FOUND;
        END IF;
        _now := clock_timestamp();

        IF _is_new THEN
            _turn.thread := _thread.id;
            _turn.task_id := _task_id;
            _turn.state := 'planned';
            _turn.sequence := 0;
            _turn.fence := 0;
            _turn.assistant_version := '';
            _turn.generation := 0;
            _turn.attempts := 0;
            _turn.content_digest := _digest;
            _turn.element_id := _element;
            _turn.process_definition := _definition;
            _thread.last_ticket := _thread.last_ticket + 1;
            _turn.ticket := _thread.last_ticket;
            IF (_turn_engine, _turn_tenant, _turn_scope) = (_engine, _tenant, _scope) THEN
                _turn.scope := _thread.scope;
            ELSE
                INSERT INTO scopes (engine, tenant, name)
                VALUES (_turn_engine, _turn_tenant, _turn_scope) ON CONFLICT DO NOTHING;
                SELECT z.id INTO _turn.scope FROM scopes z
                WHERE z.engine = _turn_engine AND z.tenant = _turn_tenant
                  AND z.name = _turn_scope;
            END IF;
        ELSE
            IF _thread.state IN ('erasing', 'erased') THEN
                PERFORM refuse_unusable_1(_thread.state);
            END IF;
            IF (_turn.element_id <> '' AND _element <> '' AND _turn.element_id <> _element)
               OR (_turn.process_definition <> '' AND _definition <> ''
                   AND _turn.process_definition <> _definition) THEN
                RAISE EXCEPTION USING ERRCODE = 'DM004', MESSAGE = 'another task';
            END IF;
            IF _turn.settled_at IS NULL THEN
                PERFORM refuse_unusable_1(_thread.state);
            END IF;
            _waits := _turn.state = 'planned'
                AND coalesce(_turn.ticket_expires_at > _now, false);
            IF _is_strict AND (_waits OR _turn.state <> 'planned')
               AND _turn.content_digest <> _digest THEN
                RAISE EXCEPTION USING ERRCODE = 'DM005', MESSAGE = 'other content';
            END IF;
            _is_released := _turn.state = 'refused' AND _turn.reported
                AND _thread.state IN ('open', 'parked');
            IF _turn.settled_at IS NOT NULL AND NOT _is_released THEN
                INSERT INTO audit_entries (thread, turn, at, action, detail)
                VALUES (_thread.id, _turn.id, _now, 'replayed', _turn.state);
                RETURN (
                    'recorded', _thread.fence, _turn.id, _turn.ticket, 0, 0,
                    (SELECT v FROM thread_rows_2 v WHERE v.id = _thread.id),
                    (SELECT v FROM turn_rows_2 v WHERE v.id = _turn.id), NULL, NULL
                )::claimed_2;
            END IF;
            IF _is_released OR (_turn.state = 'planned' AND NOT _waits) THEN
                _thread.last_ticket := _thread.last_ticket + 1;
                _turn.ticket := _thread.last_ticket;
            END IF;
            IF _is_released OR _turn.state = 'planned' THEN
                _turn.state := 'planned';
                _turn.sequence := 0;
                _turn.content_digest := _digest;
                _turn.element_id := coalesce(nullif(_turn.element_id, ''), _element);
                _turn.process_definition :=
                    coalesce(nullif(_turn.process_definition, ''), _definition);
            END IF;
        END IF;
        _turn.ticket_expires_at := _now + make_interval(secs => _ticket_seconds);

        SELECT g.* INTO _live FROM generations g
        WHERE g.thread = _thread.id AND g.state = 'live';
        SELECT o.id INTO _open FROM turns o
        WHERE o.thread = _thread.id AND o.state IN ('submitted', 'unknown');
        IF _turn.state = 'planned' THEN
            SELECT count(*) INTO _ahead FROM turns o
            WHERE o.thread = _thread.id AND o.state = 'planned'
              AND o.ticket < _turn.ticket AND o.ticket_expires_at > _now;
        END IF;
        _is_held := _thread.lease_owner NOT IN ('', _owner) AND _thread.lease_expires_at > _now;
        _is_granted := NOT _is_held AND (_ahead = 0 OR _thread.lease_owner = _owner);
        IF _is_granted AND _thread.lease_owner <> _owner THEN
            _thread.fence := _thread.fence + 1;
        END IF;
        IF _is_granted AND _asks THEN
            _already := _turn.state = 'submitted' AND _turn.fence = _thread.fence;
            _is_submitted := _turn.state = 'planned' AND _open IS NULL
                AND coalesce(_live.number = _generation, false) AND _thread.turn_count = _after;
        END IF;
        IF _is_submitted THEN
            _thread.turn_count := _thread.turn_count + 1;
            _turn.state := 'submitted';
            _turn.sequence := _thread.turn_count;
            _turn.fence := _thread.fence;
            _turn.assistant_version := _version;
            _turn.answer_schema := _schema;
            _turn.generation := _live.number;
            _turn.attempts := _turn.attempts + 1;
        END IF;

        IF _is_new THEN
            INSERT INTO turns (
                thread, scope, task_id, state, sequence, ticket, ticket_expires_at, fence,
                content_digest, element_id, process_definition, assistant_version,
                answer_schema, generation, attempts, created_at
            ) VALUES (
                _turn.thread, _turn.scope, _turn.task_id, _turn.state, _turn.sequence,
                _turn.ticket, _turn.ticket_expires_at, _turn.fence, _turn.content_digest,
                _turn.element_id, _turn.process_definition, _turn.assistant_version,
                _turn.answer_schema, _turn.generation, _turn.attempts, _now
            ) ON CONFLICT (scope, task_id) DO NOTHING RETURNING id INTO _turn.id;
            -- Somebody wrote the same turn down meanwhile, perhaps on another thread.
            CONTINUE WHEN NOT FOUND;
        ELSE
            UPDATE turns u SET
                state = _turn.state, sequence = _turn.sequence, ticket = _turn.ticket,
                ticket_expires_at = _turn.ticket_expires_at, fence = _turn.fence,
                content_digest = _turn.content_digest, element_id = _turn.element_id,
                process_definition = _turn.process_definition,
                assistant_version = _turn.assistant_version,
                answer_schema = _turn.answer_schema, generation = _turn.generation,
                attempts = _turn.attempts, refusal_code = NULL, refusal_reason = NULL,
                input_tokens = 0, output_tokens = 0, cached_tokens = 0,
                reported = false, settled_at = NULL
            WHERE u.id = _turn.id;
        END IF;
        EXIT;
    END LOOP;

    IF _is_submitted THEN
        INSERT INTO attempts (turn, number, thread, generation, item_before, shown, sent_at,
                              prompt)
        VALUES (_turn.id, _turn.attempts, _thread.id, _live.number, _live.last_item_id,
                _shown, _now, _prompt);
    END IF;
    UPDATE threads t SET
        turn_count = _thread.turn_count,
        last_ticket = _thread.last_ticket,
        fence = _thread.fence,
        lease_owner = CASE WHEN _is_granted THEN _owner ELSE t.lease_owner END,
        lease_expires_at = CASE WHEN _is_granted
            THEN _now + make_interval(secs => _lease_seconds) ELSE t.lease_expires_at END
    WHERE t.id = _thread.id;

    -- How it nearly always is: what the views would read is at hand, for a third of the cost.
    IF _is_new AND _is_submitted THEN
        RETURN (
            'submitted', _thread.fence, _turn.id, _turn.ticket, 0, 0,
            ROW(
                _thread.id, _engine, _tenant, _scope, _assistant, _thread.state,
                _thread.turn_count, _thread.shown, _thread.input_tokens, _thread.output_tokens,
                _thread.cached_tokens, _thread.created_at, _thread.last_turn_at,
                _thread.chain, _live.thread, _live.number, _live.identity, _live.conversation_id, _live.state,
                _live.reason, _live.opened_from, _live.opened_to, _live.copied_messages,
                _live.last_item_id, _live.created_at
            )::thread_rows_2,
            ROW(
                _turn.id, _thread.id, _turn_engine, _turn_tenant, _turn_scope, _task_id,
                _turn.state, _turn.sequence, _digest, _element, _definition, _prompt, NULL,
                _schema, _version, NULL, NULL, 0, 0, 0,
                _turn.generation, _turn.attempts, false, false, _now, NULL, NULL
            )::turn_rows_2,
            ROW(
                _turn.id, _turn.attempts, _live.number, _live.last_item_id, _now, NULL, '', ''
            )::attempt_rows_1,
            NULL
        )::claimed_2;
    END IF;
    IF NOT _is_granted THEN
        RETURN (
            'queued', _thread.fence, _turn.id, _turn.ticket, _ahead,
            CASE WHEN _is_held THEN extract(epoch FROM _thread.lease_expires_at - _now)
                 ELSE 0 END,
            NULL, NULL, NULL, NULL
        )::claimed_2;
    END IF;
    RETURN (
        CASE WHEN _is_submitted OR _already THEN 'submitted' ELSE 'granted' END,
        _thread.fence, _turn.id, _turn.ticket, 0, 0,
        (SELECT v FROM thread_rows_2 v WHERE v.id = _thread.id),
        (SELECT v FROM turn_rows_2 v WHERE v.id = _turn.id),
        (SELECT v FROM attempt_rows_1 v
         WHERE v.turn = CASE WHEN _is_submitted OR _already THEN _turn.id ELSE _open END
         ORDER BY v.number DESC LIMIT 1),
        CASE WHEN NOT (_is_submitted OR _already)
             THEN (SELECT v FROM turn_rows_2 v WHERE v.id = _open) END
    )::claimed_2;
END $$
