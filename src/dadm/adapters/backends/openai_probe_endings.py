"""Open questions about responses at OpenAI that do not complete: what they leave behind."""

from collections.abc import Sequence

from dadm.adapters.backends.openai_items import Json
from dadm.adapters.backends.openai_probe_ground import (
    FEWEST_TOKENS,
    LONG,
    ProbeGround,
    ProbeQuestion,
)
from dadm.adapters.backends.openai_probe_terms import Observed, Refusal, check_status

NO_PICTURE = "https://example.invalid/none.png"
LOOKS = "confirms that DADM looks, and never infers"


async def incomplete_appends(ground: ProbeGround) -> Observed:
    on = await ground.open()
    reply = await ground.ask(on, LONG, max_output_tokens=FEWEST_TOKENS)
    check_status(reply, "incomplete")
    return await _appended(ground, on)


async def cancelled_appends(ground: ProbeGround) -> Observed:
    on = await ground.open()
    async with ground.running(on, background=True, until_it_speaks=True) as run:
        await ground.cancel(run)
        check_status(await ground.ended(run), "cancelled")
    return await _appended(ground, on)


async def failed_appends(ground: ProbeGround) -> Observed:
    on = await ground.open()
    parts = [
        {"type": "input_text", "text": "What is in this picture?"},
        {"type": "input_image", "detail": "auto", "image_url": NO_PICTURE},
    ]
    reply = await ground.ask(on, [{"role": "user", "content": parts}], background=True)
    if not isinstance(reply, Refusal):
        reply = await ground.ended(str(reply["id"])) or {}
    check_status(reply, "failed")
    return await _appended(ground, on)


async def unstored_appends(ground: ProbeGround) -> Observed:
    on = await ground.open()
    check_status(await ground.ask(on, store=False), "completed")
    return await _appended(ground, on)


async def _appended(ground: ProbeGround, on: str) -> Observed:
    items = await ground.items(on)
    kinds = ", ".join(str(item.get("role") or item.get("type")) for item in items) or "nothing"
    return Observed(answer=_what(items), evidence=f"the conversation holds: {kinds}")


def _what(items: Sequence[Json]) -> str:
    if not items:
        return "nothing"
    return "input" if all(item.get("role") == "user" for item in items) else "input_and_output"


QUESTIONS = (
    ProbeQuestion(
        name="incomplete_appends",
        asks="What does an incomplete response append to its conversation?",
        look=incomplete_appends,
        requests=3,
        runs=1,
        decides={"nothing": LOOKS, "input": LOOKS, "input_and_output": LOOKS},
    ),
    ProbeQuestion(
        name="cancelled_appends",
        asks="What does a cancelled response append?",
        look=cancelled_appends,
        requests=5,
        runs=1,
        decides={"nothing": LOOKS, "input": LOOKS, "input_and_output": LOOKS},
    ),
    ProbeQuestion(
        name="failed_appends",
        asks="What does a failed response append?",
        look=failed_appends,
        requests=4,
        runs=1,
        decides={"nothing": LOOKS, "input": LOOKS, "input_and_output": LOOKS},
    ),
    ProbeQuestion(
        name="unstored_appends",
        asks="What does a response with store=false append?",
        look=unstored_appends,
        requests=3,
        runs=1,
        decides={
            "nothing": "confirms that DADM always stores",
            "input": "confirms that DADM always stores",
            "input_and_output": "no setting: DADM always stores",
        },
    ),
)
