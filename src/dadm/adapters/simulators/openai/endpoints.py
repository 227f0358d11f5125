"""The requests that the simulated API knows, by path and method."""

CONVERSATIONS = "/v1/conversations"
CONVERSATION = f"{CONVERSATIONS}/{{conversation_id}}"
ITEMS = f"{CONVERSATION}/items"
ITEM = f"{ITEMS}/{{item_id}}"
RESPONSES = "/v1/responses"
RESPONSE = f"{RESPONSES}/{{response_id}}"
CANCEL = f"{RESPONSE}/cancel"
INPUT_ITEMS = f"{RESPONSE}/input_items"
MODELS = "/v1/models"
MODEL = f"{MODELS}/{{model}}"

ENDPOINTS: dict[str, tuple[str, ...]] = {
    CONVERSATIONS: ("POST",),
    CONVERSATION: ("GET", "POST", "DELETE"),
    ITEMS: ("GET", "POST"),
    ITEM: ("GET", "DELETE"),
    RESPONSES: ("POST",),
    RESPONSE: ("GET", "DELETE"),
    CANCEL: ("POST",),
    INPUT_ITEMS: ("GET",),
    MODELS: ("GET",),
    MODEL: ("GET",),
}
