CREATE VIEW attempt_rows_1 AS
SELECT k.id, k.turn, k.number, k.generation, k.item_before, k.sent_at, k.response_id,
       k.error_code, k.error_message
FROM attempts k
