"""The documentation site builds without a warning, and its reference has every public name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import normalforms as nf
import rnn

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_documents_every_public_name(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    for package in (nf, rnn):
        page = (tmp_path / "site" / "reference" / f"{package.__name__}.html").read_text()
        anchors = set(re.findall(rf'id="{package.__name__}\.(\w+)"', page))
        assert set(package.__all__) <= anchors, sorted(set(package.__all__) - anchors)
    for page in (ROOT / "docs").rglob("*.md"):
        assert (tmp_path / "site" / page.relative_to(ROOT / "docs").with_suffix(".html")).exists(), page
