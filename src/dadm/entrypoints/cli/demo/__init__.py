"""`dadm demo`: the main job for real, with a kill half-way and a proof at the end."""
