"""The chain of a transcript: each completed turn's link stands for it and for all before it."""

import hashlib

CHAIN_START = ""
"""What the first link is made from."""


def next_link(previous: str, *, sequence: int, prompt: str, answer: str) -> str:
    """Give the link of a completed turn: 64 hexadecimal digits, the SHA-256 of a text.

    The text is the previous link, the sequence and the length of the prompt in characters, each
    with a line feed behind it, then prompt and answer. The length keeps the two apart, so that no
    other pair gives the same text. Databases compute the same where they settle.
    """
    text = f"{previous}\n{sequence}\n{len(prompt)}\n{prompt}{answer}"
    return hashlib.sha256(text.encode()).hexdigest()
