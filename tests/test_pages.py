"""The code on the pages of docs/ runs, and their links lead somewhere."""

import doctest
import re
import textwrap
from pathlib import Path

import jax
import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>python|pycon)\n(?P<code>.*?)^(?P=indent)```$", re.M | re.S)


def blocks(page):
    """``(language, code, first line)`` of each block, in order; those of one page share their names."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield found["language"], textwrap.dedent(found["code"]), line


# pages that change the project are done in a copy of it: tests/test_developing.py
CODED = [page for page in PAGES if any(blocks(page)) and page.parent.name != "developing"]


@pytest.mark.parametrize("page", CODED, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    """Top to bottom in one namespace and an empty folder, float32 as in a user's session."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    with jax.enable_x64(False):
        for language, code, line in blocks(page):
            if language == "pycon":
                examples = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), line)
                result = doctest.DocTestRunner().run(examples, clear_globs=False)
                assert result.attempted
                assert not result.failed, f"{page.name}, line {line}"
                names = examples.globs
            else:
                exec(compile(code, f"{page.name}, line {line}", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_links_of_a_page_lead_to_files(page):
    for name in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / name).exists(), name
