-- Takes a thread that is there, whatever state it is in but erased.
CREATE FUNCTION lease_known_thread_1(
    _thread_id bigint, _owner text, _lease_seconds double precision
) RETURNS claimed_2 LANGUAGE plpgsql AS $$
DECLARE
    _thread threads;
BEGIN
    SELECT t.* INTO _thread FROM threads t WHERE t.id = _thread_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DM006', MESSAGE = 'no such thread';
    ELSIF _thread.state = 'erased' THEN
        PERFORM refuse_unusable_1(_thread.state);
    END IF;
    RETURN grant_thread_1(_thread, _owner, _lease_seconds);
END $$
