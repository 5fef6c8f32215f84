"""What both packages draw and write with: pages, figure style, progress."""

from normalforms.report.page import page
from normalforms.report.progress import Meter
from normalforms.report.style import COLOURS, style

__all__ = ["COLOURS", "Meter", "page", "style"]
