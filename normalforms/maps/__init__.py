"""Maps: what is given, how it is read from text, and a zoo of textbook ones."""

from normalforms.maps.map import (
    Map,
    cusp,
    neimark_sacker,
    parse_map,
    period_doubling,
    pitchfork,
    saddle_node,
    stability_flip,
    transcritical,
)
from normalforms.maps.parser import MapSyntaxError, parse_expression

__all__ = [
    "Map",
    "MapSyntaxError",
    "cusp",
    "neimark_sacker",
    "parse_expression",
    "parse_map",
    "period_doubling",
    "pitchfork",
    "saddle_node",
    "stability_flip",
    "transcritical",
]
