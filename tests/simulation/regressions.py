"""Regressions: the seeds under which the product once failed, and the bug that each of them found.

They are run again with every check. What a seed draws changes with the order of calls and with the
weather there can be, so a seed may have lost its meaning since; where a bug can be put back, a
mutant of `mutants_once_real` shows that simulation would find it still.
"""

from types import MappingProxyType

REGRESSIONS = MappingProxyType(
    {
        21: "An answer that did not say the conversation's last item was taken for the next turn's.",
        145: "The same, where a silent stream had left the next turn open.",
        254: "The same, where a doubled request had found the conversation busy.",
        649: "A task leased before its instance ended opened a thread that nobody closed any more.",
        832: "The same, by a replica that was paused in between.",
        2343: "A replanning thought lost arrived late and took the next attempt back to planned.",
        1683: "Withdrawing a task between two attempts ended the whole program.",
        93: "The same, at a backend that keeps nothing.",
        10204: "Where a clock drifts, the keeper of a lease woke ever earlier without end.",
        135006: "A claim thought lost came late and submitted a turn in a conversation out of use.",
        123900: "A conversation opened over an erasure was given the erased thread's memory.",
        8764: "The check took the answer of a thread begun anew after an erasure for a changed one.",
        38245: "The check compared an answer with that of an erased thread whose key was taken again.",
        21002: "The check took a conversation for live that a paused replica had filled too late.",
        225156: "The check did not know who else may ask when a task is withdrawn from several.",
        90552: "The check did not see that a visitor's request came long after an instance's end.",
    }
)
"""For each seed, the bug."""
