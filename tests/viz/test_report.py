"""A report stands alone and says what it was given, whatever signs that holds."""

import base64
import io
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from wsjax import viz
from wsjax.viz import style
from wsjax.viz.report import Section

VOID = {"meta", "img"}


class Page(HTMLParser):
    """Collects the elements, links, sources and words of a page, and checks that elements close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.addresses, self.alternatives, self.words = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.alternatives += [value for name, value in attrs if name == "alt"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def parsed(path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    return page


def test_a_report_needs_nothing_beside_it(tmp_path):
    figure = Figure(figsize=(1, 1))
    figure.suptitle('quotes " and <tags>')
    table = [["reader", "test"], ["dws", 0.5]]
    sections = [Section("First", "one\n\ntwo", table, [figure]), Section("Second", "", None, [Figure((1, 1))])]
    path = viz.report(tmp_path / "new" / "report.html", "Results", sections)
    page = parsed(path)
    assert page.open == []
    assert len(page.addresses) == 2
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert imread(io.BytesIO(base64.b64decode(page.addresses[0].split(",")[1]))).shape == (150, 150, 4)
    assert page.alternatives == ['quotes " and <tags>', "Second"]
    assert page.tags.count("p") == 2
    assert (page.tags.count("th"), page.tags.count("td")) == (2, 2)
    text = path.read_text(encoding="utf-8")
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_all_text_is_escaped(tmp_path):
    nasty = "<script>alert('x')</script> & \"more\""
    path = viz.report(tmp_path / "report.html", nasty, [Section(nasty, nasty, [[nasty], [nasty]], ())])
    page = parsed(path)
    assert "script" not in page.tags
    assert page.words.count(nasty) == 6


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    for write in (lambda where: viz.report(where, "title", []), lambda where: style.save(Figure(), where)):
        with pytest.raises(OSError, match=r"file/page.png cannot be written: .*; name a place that you may write to"):
            write(tmp_path / "file" / "page.png")
