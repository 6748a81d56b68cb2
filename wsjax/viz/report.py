"""One page with everything on it: a standalone HTML file."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from wsjax.errors import writing
from wsjax.viz.style import DPI, Figure

CSS = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d5dae0; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4af; --line: #3a424b; --page: #14181c; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
       max-width: 58rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
p { max-width: 44rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .9rem .4rem 0; text-align: right; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
img { display: block; width: 100%; height: auto; margin: 1rem 0; background: #fff; border-radius: 6px; }
"""


class Section(NamedTuple):
    """One part of a report: paragraphs (a blank line between them), a table whose first row is its head, and figures,
    or PNG files of such."""

    title: str
    text: str
    table: Sequence[Sequence[object]] | None
    figures: Sequence["Figure | Path"]


def report(path: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Write one HTML file that needs nothing beside it: figures are embedded, nothing is loaded, all text is escaped.

    The `sections` follow each other below the title. Returns the path of the file.

    Example:
        >>> import tempfile
        >>> table = [["reader", "test"], ["a < b", "90%"]]
        >>> file = report(f"{tempfile.mkdtemp()}/report.html", "Results", [Section("Accuracy", "", table, ())])
        >>> "a &lt; b" in file.read_text()
        True
    """
    parts = [part for section in sections for part in html_of(section)]
    name = html.escape(title)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>'
    page = ["<!doctype html>", f'<html lang="en"><head>{head}<style>{CSS}</style></head><body>', f"<h1>{name}</h1>"]
    file = Path(path)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join([*page, *parts, "</body></html>", ""]), encoding="utf-8")
    return file


def html_of(section: Section) -> list[str]:
    """A section's elements."""
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(p.strip())}</p>" for p in section.text.split("\n\n") if p.strip()]
    if section.table:
        head, *rows = section.table
        lines = [cells("th", head), *(cells("td", row) for row in rows)]
        parts.append('<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>")
    for figure in section.figures:
        title = ("" if isinstance(figure, Path) else figure.get_suptitle()) or section.title
        parts.append(f'<img alt="{html.escape(title)}" src="{data_url(figure)}">')
    return parts


def cells(tag: str, row: Sequence[object]) -> str:
    """One row of a table."""
    return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row) + "</tr>"


def data_url(figure: "Figure | Path") -> str:
    """A figure as a PNG inside a URL."""
    buffer = io.BytesIO(figure.read_bytes() if isinstance(figure, Path) else b"")
    if not isinstance(figure, Path):
        figure.savefig(buffer, format="png", dpi=DPI)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
