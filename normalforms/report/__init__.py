"""What both packages draw and write with: pages, figure style, progress, files written whole."""

from normalforms.report import html
from normalforms.report.brief import brief, frame, optional
from normalforms.report.files import Drawings, save_figures, write_whole
from normalforms.report.panels import Panel
from normalforms.report.progress import Meter, Report
from normalforms.report.style import COLOURS, style

__all__ = [
    "COLOURS",
    "Drawings",
    "Meter",
    "Panel",
    "Report",
    "brief",
    "frame",
    "html",
    "optional",
    "save_figures",
    "style",
    "write_whole",
]
