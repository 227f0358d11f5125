CREATE VIEW thread_rows_2 AS
SELECT t.id, s.engine, s.tenant, s.name AS scope, t.assistant, t.state, t.turn_count, t.shown,
       t.input_tokens, t.output_tokens, t.cached_tokens, t.created_at, t.last_turn_at, t.chain,
       g.thread, g.number, g.identity, g.conversation_id, g.state AS conversation_state, g.reason,
       g.opened_from, g.opened_to, g.copied_messages, g.last_item_id,
       g.created_at AS conversation_created_at
FROM threads t
JOIN scopes s ON s.id = t.scope
LEFT JOIN generations g ON g.thread = t.id AND g.state = 'live'
