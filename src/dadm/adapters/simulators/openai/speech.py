"""The events of output items as the model puts them out, and what of them is out so far."""

from dadm.adapters.simulators.openai.events import EventLog
from dadm.adapters.simulators.openai.items import output_text
from dadm.adapters.simulators.openai.wire import JsonObject


class Speech:
    """Tells one item after the other: `begin`, `say` each delta of `to_say`, `finish`."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._finished: list[JsonObject] = []
        self._item: JsonObject | None = None
        self._said = ""

    @property
    def to_say(self) -> str:
        """What of the item under way comes in deltas: a text, a refusal, or arguments."""
        item = self._item or {}
        if item.get("type") == "function_call":
            return str(item["arguments"])
        if item.get("type") == "message":
            part = item["content"][0]
            return str(part["text"] if part["type"] == "output_text" else part["refusal"])
        return ""

    def begin(self, item: JsonObject) -> None:
        self._item, self._said = item, ""
        self._tell("response.output_item.added", item=self._beginning(item))
        if item["type"] == "message":
            self._tell("response.content_part.added", part=_part(item, ""), **self._place())

    def say(self, delta: str) -> None:
        self._said += delta
        self._tell(f"{self._saying()}.delta", delta=delta, **self._place(), **self._extras())

    def finish(self) -> None:
        item = self._current()
        if item["type"] in {"message", "function_call"}:
            done = {self._saying_field(): self.to_say}
            self._tell(f"{self._saying()}.done", **done, **self._place(), **self._extras())
        if item["type"] == "message":
            self._tell("response.content_part.done", part=item["content"][0], **self._place())
        self._tell("response.output_item.done", item=item)
        self._finished.append(item)
        self._item, self._said = None, ""

    def said_so_far(self) -> list[JsonObject]:
        """Give the items that are out, the last one perhaps cut short in the middle of its text."""
        item = self._item
        if item is None or item["type"] != "message" or not self._said:
            return list(self._finished)
        cut = item | {"status": "incomplete", "content": [_part(item, self._said)]}
        return [*self._finished, cut]

    def _current(self) -> JsonObject:
        if self._item is None:
            message = "No item is under way."
            raise RuntimeError(message)
        return self._item

    def _beginning(self, item: JsonObject) -> JsonObject:
        if item["type"] == "message":
            return item | {"status": "in_progress", "content": []}
        if item["type"] == "function_call":
            return item | {"status": "in_progress", "arguments": ""}
        return item

    def _saying(self) -> str:
        item = self._current()
        if item["type"] == "function_call":
            return "response.function_call_arguments"
        return f"response.{item['content'][0]['type']}"

    def _saying_field(self) -> str:
        return {
            "response.function_call_arguments": "arguments",
            "response.output_text": "text",
            "response.refusal": "refusal",
        }[self._saying()]

    def _place(self) -> JsonObject:
        item = self._current()
        place = {"item_id": item["id"]}
        return place | ({"content_index": 0} if item["type"] == "message" else {})

    def _extras(self) -> JsonObject:
        return {"logprobs": []} if self._saying() == "response.output_text" else {}

    def _tell(self, event_type: str, **fields: object) -> None:
        self._events.publish(event_type, output_index=len(self._finished), **fields)


def _part(item: JsonObject, text: str) -> JsonObject:
    if item["content"][0]["type"] == "output_text":
        return output_text(text)
    return {"type": "refusal", "refusal": text}
