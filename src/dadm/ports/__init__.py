"""What the application needs from the world, one role per module."""
