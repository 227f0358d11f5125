"""StepFailed: an instance cannot go on from where it is."""


class StepFailed(Exception):
    """The process cannot go on; nothing of the step is kept. `element_id` says where."""

    def __init__(self, message: str, *, element_id: str = "") -> None:
        """Take the sentence that a person reads."""
        super().__init__(message)
        self.element_id = element_id
