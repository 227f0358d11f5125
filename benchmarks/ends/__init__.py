"""What it costs to follow the ends of process instances, while very many wait."""
