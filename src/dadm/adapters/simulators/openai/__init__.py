"""A simulator of OpenAI's Conversations and Responses, for tests and for users' own."""

from dadm.adapters.simulators.openai.app import create_app
from dadm.adapters.simulators.openai.behaviour import (
    Appended,
    Behaviour,
    OnDisconnect,
    UnknownAnswer,
    alternatives,
)
from dadm.adapters.simulators.openai.responders import (
    Answer,
    Echo,
    FromModel,
    FunctionCall,
    Generate,
    Held,
    Responder,
    Scripted,
)
from dadm.adapters.simulators.openai.simulated import CountingIds, Model, SimulatedOpenAI

__all__ = [
    "Answer",
    "Appended",
    "Behaviour",
    "CountingIds",
    "Echo",
    "FromModel",
    "FunctionCall",
    "Generate",
    "Held",
    "Model",
    "OnDisconnect",
    "Responder",
    "Scripted",
    "SimulatedOpenAI",
    "UnknownAnswer",
    "alternatives",
    "create_app",
]
