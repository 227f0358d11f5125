CREATE VIEW attempt_rows_1 AS
SELECT k.turn, k.number, k.generation, k.item_before, k.sent_at, r.response_id,
       k.error_code, k.error_message
FROM attempts k
LEFT JOIN responses r ON r.turn = k.turn AND r.number = k.number
