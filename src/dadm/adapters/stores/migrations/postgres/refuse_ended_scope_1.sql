-- Lets no thread begin in a scope that has ended; whoever ends it meanwhile is waited for, or
-- waits. A trigger, so that replicas of an older version are held to it too.
CREATE FUNCTION refuse_ended_scope_1() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    _ended_at timestamptz;
BEGIN
    SELECT s.ended_at INTO _ended_at FROM scopes s WHERE s.id = NEW.scope FOR SHARE;
    IF _ended_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'DM002', MESSAGE = 'scope ended';
    END IF;
    RETURN NEW;
END $$
