"""The Service Orchestrator: brings an engine's AI tasks to the assistants, and back what came of them."""
