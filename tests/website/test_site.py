"""The site is built from the documents as they are, and says which links lead nowhere."""

import re

import pytest
from website.building import build
from website.reference import reference
from website.staging import parted, stage

from millrace.explain.page_markdown import markdown
from millrace.explain.pages import Code, Figure, Listing, Math, Page, Section, Text


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    faults = build(target, reference(lambda line: None, ["Dense", "tanh"]))
    return target, faults


def test_it_is_built_without_a_dead_link(site):
    target, faults = site
    assert faults == []
    for page in ("index.html", "docs/first-hour.html", "docs/decisions/0001-one-graph.html", "README.zh.html"):
        assert (target / page).is_file(), page
    assert "layer-Dense.html" in (target / "reference" / "index.html").read_text()


def test_a_page_of_the_reference_has_its_mathematics_and_pictures(site):
    shown = (site[0] / "reference" / "function-tanh.html").read_text()
    assert "<math" in shown and "data:image/png;base64," in shown and "data:image/svg+xml;base64," in shown


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site[0].rglob("*.html"):
        text = page.read_text()
        fetched = re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?://[^"]+)"', text)
        assert not [url for url in fetched if "canonical" not in url], page


def test_a_dead_link_is_a_fault(tmp_path):
    pages = {"reference/index.md": "# Reference\n\n[nowhere](lost.md)\n"}
    faults = build(tmp_path / "site", pages)
    assert len(faults) == 1 and "lost.md" in faults[0]


def test_a_link_to_a_missing_file_of_the_project_is_refused(tmp_path, monkeypatch):
    import website.staging as staging

    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_text("[gone](gone.py)\n")
    monkeypatch.setattr(staging, "ROOT", tmp_path / "project")
    monkeypatch.setattr(staging, "pages", lambda: [staging.Path("README.md")])
    with pytest.raises(FileNotFoundError, match=r"README\.md links to gone\.py"):
        stage(tmp_path / "staged", {})


def test_a_folder_that_is_linked_is_listed_and_its_pages_stay_as_they_are(tmp_path, monkeypatch):
    import website.staging as staging

    project = tmp_path / "project"
    (project / "docs").mkdir(parents=True)
    (project / "docs" / "a.md").write_text("text:\n- [all](../docs)\n")
    (project / "docs" / "b.md").write_text("[all](../docs)\n")
    monkeypatch.setattr(staging, "ROOT", project)
    monkeypatch.setattr(staging, "pages", lambda: [staging.Path("docs/a.md")])
    stage(tmp_path / "staged", {})
    listed = (tmp_path / "staged" / "docs" / "files.md").read_text()
    assert "[a.md](a.md)" in listed and "[b.md](b.md)" in listed
    assert (tmp_path / "staged" / "docs" / "a.md").read_text() == "text:\n\n- [all](../docs/files.md)\n"


def test_a_list_after_a_line_gets_room():
    assert parted("a:\n- one\n- two\nb") == "a:\n\n- one\n- two\nb"
    assert parted("```\na:\n- no list\n```") == "```\na:\n- no list\n```"


SVG = '<svg class="chart" viewBox="0 0 20 10"></svg>'


def test_what_markdown_would_mark_up_is_shown_as_it_is():
    parts = [Text("3*3*1 + a_b, `c*d` and **strong**"), Listing(["x|y"], [["2*2"]]), Code("a*b"), Math("a*b")]
    text = markdown(Page("T", "layer", "lead <b>", [Section("S", [*parts, Figure("f", SVG, "told")])]))
    assert r"3\*3\*1 + a\_b, `c*d` and **strong**" in text and r"lead \<b\>" in text
    assert "| x\\|y |\n|---|\n| 2\\*2 |" in text and text.count("```text\na*b\n```") == 2
