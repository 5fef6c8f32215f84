"""The way to a bifurcation: the followed fixed point, its critical multiplier, and the law that dates the crossing."""

from rnn.approach.clocks import Clock, clocks_at
from rnn.approach.critical import Critical, Kind, critical_at, kind_of, modulus_at, resolvent_at
from rnn.approach.law import Law, law
from rnn.approach.outlook import Outlook, View, straight
from rnn.approach.place import LOST, multipliers_at, settle, top_two

__all__ = [
    "LOST",
    "Clock",
    "Critical",
    "Kind",
    "Law",
    "Outlook",
    "View",
    "clocks_at",
    "critical_at",
    "kind_of",
    "law",
    "modulus_at",
    "multipliers_at",
    "resolvent_at",
    "settle",
    "straight",
    "top_two",
]
