"""Decision processes in BPMN whose AI tasks share one durable thread per process instance."""
