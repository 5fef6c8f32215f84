"""The named families: one record per file, and the only registry of them."""

from normalforms.families.unfolding import Unfolding, is_cusp, unfolding

__all__ = ["Unfolding", "is_cusp", "unfolding"]
