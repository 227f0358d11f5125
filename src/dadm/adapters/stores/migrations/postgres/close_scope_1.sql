-- Ends a scope: closes its threads that take turns, and gives how many those were.
CREATE FUNCTION close_scope_1(_engine text, _tenant text, _name text, _reason text)
RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    _scope bigint;
    _now timestamptz;
    _count bigint;
BEGIN
    SELECT s.id INTO _scope FROM scopes s
    WHERE s.engine = _engine AND s.tenant = _tenant AND s.name = _name
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    _now := clock_timestamp();
    UPDATE scopes SET ended_at = _now WHERE id = _scope AND ended_at IS NULL;
    -- A statement of its own, which sees the threads that were begun while the scope's lock was
    -- waited for.
    WITH closed AS (
        UPDATE threads SET state = 'closed', closed_at = _now
        WHERE id IN (
            SELECT t.id FROM threads t
            WHERE t.scope = _scope AND t.state IN ('open', 'parked')
            ORDER BY t.id FOR NO KEY UPDATE)
        RETURNING id
    ), told AS (
        INSERT INTO audit_entries (thread, at, action, detail)
        SELECT id, _now, 'closed', _reason FROM closed ORDER BY id
    )
    SELECT count(*) INTO _count FROM closed;
    RETURN _count;
END $$
