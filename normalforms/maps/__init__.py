"""Maps: what is given, how it is read from text, and a zoo of textbook ones."""

from normalforms.maps.map import Map, parse_map, turns
from normalforms.maps.parser import MapSyntaxError, parse_expression

__all__ = ["Map", "MapSyntaxError", "parse_expression", "parse_map", "turns"]
