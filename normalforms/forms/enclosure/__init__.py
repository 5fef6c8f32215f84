"""Certified digits: amplifications in ball arithmetic."""

from normalforms.forms.enclosure.enclosure import enclosure

__all__ = ["enclosure"]
