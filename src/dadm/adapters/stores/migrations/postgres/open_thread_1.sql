-- Finds the thread of a key that is not erased, or opens it; either way it is locked.
CREATE FUNCTION open_thread_1(_engine text, _tenant text, _scope text, _assistant text)
RETURNS threads LANGUAGE plpgsql AS $$
DECLARE
    _thread threads;
BEGIN
    LOOP
        SELECT t.* INTO _thread
        FROM threads t JOIN scopes s ON s.id = t.scope
        WHERE s.engine = _engine AND s.tenant = _tenant AND s.name = _scope
          AND t.assistant = _assistant AND t.state <> 'erased'
        FOR NO KEY UPDATE OF t;
        IF FOUND THEN
            RETURN _thread;
        END IF;
        INSERT INTO scopes (engine, tenant, name) VALUES (_engine, _tenant, _scope)
        ON CONFLICT DO NOTHING;
        -- Another session may win here; the next round then waits for it and finds its row.
        INSERT INTO threads (scope, assistant, state, created_at)
        SELECT s.id, _assistant, 'open', clock_timestamp() FROM scopes s
        WHERE s.engine = _engine AND s.tenant = _tenant AND s.name = _scope
        ON CONFLICT DO NOTHING;
    END LOOP;
END $$
