"""What BPMN files say, read with care and checked before anything runs."""
