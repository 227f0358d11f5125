CREATE VIEW turn_rows_2 AS
SELECT u.id, u.thread, z.engine, z.tenant, z.name AS scope, u.task_id, u.state, u.sequence,
       u.content_digest, u.element_id, u.process_definition, p.prompt, a.text AS answer,
       u.answer_schema, u.assistant_version, u.refusal_code, u.refusal_reason,
       u.input_tokens, u.output_tokens, u.cached_tokens,
       u.generation, u.attempts, u.recovered, u.reported, u.created_at, u.settled_at, a.link
FROM turns u
JOIN scopes z ON z.id = u.scope
LEFT JOIN attempts p ON p.turn = u.id AND p.number = u.attempts
LEFT JOIN answers a ON a.turn = u.id
