"""The texts that turns are made of: 1,024 characters each way, none like the next."""

import hashlib

CHARACTERS = 1024
BYTES_PER_TURN = 2 * CHARACTERS
DIFFERENT = 64


def text(seed: str) -> str:
    """Give a text that hardly compresses, so that no database saves room by luck."""
    return hashlib.shake_256(seed.encode()).hexdigest(CHARACTERS // 2)


PROMPTS = tuple(text(f"prompt {number}") for number in range(DIFFERENT))
ANSWERS = tuple(text(f"answer {number}") for number in range(DIFFERENT))


def prompt(turn: int) -> str:
    """Give what is asked in a turn."""
    return PROMPTS[turn % DIFFERENT]


def answer(turn: int) -> str:
    """Give what is answered in a turn."""
    return ANSWERS[turn % DIFFERENT]
