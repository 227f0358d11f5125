-- Lets only threads pass that take turns.
CREATE FUNCTION refuse_unusable_1(_state text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF _state = 'closed' THEN
        RAISE EXCEPTION USING ERRCODE = 'DM002', MESSAGE = 'thread closed';
    ELSIF _state NOT IN ('open', 'parked') THEN
        RAISE EXCEPTION USING ERRCODE = 'DM003', MESSAGE = 'thread erased';
    END IF;
END $$
