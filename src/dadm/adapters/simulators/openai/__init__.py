"""A simulator of OpenAI's Conversations and Responses, for tests and for users' own."""

from dadm.adapters.simulators.openai.app import create_app, simulate
from dadm.adapters.simulators.openai.behaviour import (
    Appended,
    Behaviour,
    OnDisconnect,
    UnknownAnswer,
    alternatives,
)
from dadm.adapters.simulators.openai.fault_rules import FaultRule, Requests, WrongFault
from dadm.adapters.simulators.openai.responders import (
    Answer,
    Echo,
    FromModel,
    FromScript,
    FunctionCall,
    Generate,
    Held,
    Responder,
    Scripted,
)
from dadm.adapters.simulators.openai.simulated import CountingIds, Model, SimulatedOpenAI
from dadm.adapters.simulators.openai.switched_faults import SwitchedFaults

__all__ = [
    "Answer",
    "Appended",
    "Behaviour",
    "CountingIds",
    "Echo",
    "FaultRule",
    "FromModel",
    "FromScript",
    "FunctionCall",
    "Generate",
    "Held",
    "Model",
    "OnDisconnect",
    "Requests",
    "Responder",
    "Scripted",
    "SimulatedOpenAI",
    "SwitchedFaults",
    "UnknownAnswer",
    "WrongFault",
    "alternatives",
    "create_app",
    "simulate",
]
