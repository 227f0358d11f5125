"""One process instance on SpiffWorkflow: its tokens, its variables, and what it waits for."""
