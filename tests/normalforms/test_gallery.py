"""The gallery is what the code says today, and Markdown leaves its formulas alone."""

import re
from pathlib import Path

import pytest

from normalforms.gallery import BEGIN, END, document, main, section, with_section

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_gallery_is_up_to_date():
    assert (ROOT / "docs" / "laws.md").read_text() == document(), "run python -m normalforms.gallery"


def test_the_readme_is_up_to_date():
    readme = (ROOT / "README.md").read_text()
    assert with_section(readme) == readme, "run python -m normalforms.gallery"


def test_every_block_of_mathematics_is_whole():
    blocks = re.findall(r"```math\n(.*?)\n```", document(), re.S)
    assert len(blocks) > 50
    for block in blocks:
        assert block.count("{") == block.count("}")
        assert block.count(r"\begin{aligned}") == block.count(r"\end{aligned}")
        assert block.count(r"\left") == block.count(r"\right")
        assert "\n\n" not in block
    assert document().count("```") == 2 * document().count("```math")


def test_cells_of_the_table_hold_no_bar():
    head, rule, *rows = section().splitlines()
    assert len(rows) == 7
    for row in (head, rule, *rows):
        assert row.count("|") == 5
    for cell in re.findall(r"\$`(.*?)`\$", section()):
        assert cell.count("{") == cell.count("}")


def test_links_of_the_table_lead_to_headings():
    headings = re.findall(r"^## (.*)$", document(), re.M)
    anchors = {"".join(c for c in h.lower().replace(" ", "-") if c.isalnum() or c == "-") for h in headings}
    assert set(re.findall(r"docs/laws\.md#([\w-]+)", section())) == anchors


def test_the_command_writes_and_checks(tmp_path, capsys):
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    where = ["--root", str(tmp_path)]
    assert main([*where, "--check"]) == 1
    assert "README.md is out of date" in capsys.readouterr().out
    assert main(where) == 0
    assert main([*where, "--check"]) == 0
    text = (tmp_path / "README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n| family |")
    assert text.endswith(f"{END}\nafter\n")


def test_a_readme_without_markers_is_left_alone(tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    assert main(["--root", str(tmp_path)]) == 2
    assert "add them" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "mine"
    with pytest.raises(ValueError, match="lacks the lines"):
        with_section("mine")
