-- What claiming, submitting and leasing come to. The open turn is that of whoever it is of.
CREATE TYPE claimed_2 AS (
    kind text,
    fence bigint,
    turn_id bigint,
    ticket bigint,
    ahead bigint,
    remaining_seconds double precision,
    thread_row thread_rows_2,
    turn_row turn_rows_2,
    attempt_row attempt_rows_1,
    open_row turn_rows_2
)
