"""Maps discovered behind orbits."""

from normalforms.data.orbits.discover import Discovery, Rival, discover

__all__ = ["Discovery", "Rival", "discover"]
