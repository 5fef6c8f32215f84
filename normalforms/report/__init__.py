"""What both packages draw and write with: pages, figure style, progress, files written whole."""

from normalforms.report.files import save_figures, write_whole
from normalforms.report.page import figure, page, paragraph, section
from normalforms.report.progress import Meter, Report
from normalforms.report.style import COLOURS, style

__all__ = [
    "COLOURS",
    "Meter",
    "Report",
    "figure",
    "page",
    "paragraph",
    "save_figures",
    "section",
    "style",
    "write_whole",
]
