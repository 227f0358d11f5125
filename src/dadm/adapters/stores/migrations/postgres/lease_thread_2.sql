-- Takes the thread of a key without a turn, opening it if there is none.
CREATE FUNCTION lease_thread_2(
    _engine text, _tenant text, _scope text, _assistant text,
    _owner text, _lease_seconds double precision
) RETURNS claimed_2 LANGUAGE plpgsql AS $$
DECLARE
    _thread threads := open_thread_1(_engine, _tenant, _scope, _assistant);
BEGIN
    PERFORM refuse_unusable_1(_thread.state);
    RETURN grant_thread_1(_thread, _owner, _lease_seconds);
END $$
