"""Finishes the HTML of a notebook's cells: nothing external, ordered headings, tables that scroll."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bs4 import BeautifulSoup, Tag

from helpers.errors import OsemnError

_HEADINGS = re.compile(r"^h[1-6]$")
_ACTIVE = re.compile(r"^(script|iframe|object|embed|link|meta|base|form|input|button|video|audio)$")
_FETCHING = re.compile(r"^(on.*|srcset|background|poster|ping|action|formaction|data|xlink:href|longdesc)$")
_EXTERNAL_CSS = re.compile(r"@import|url\(\s*['\"]?(?!data:)", re.IGNORECASE)
_NOTEBOOK = re.compile(r"^(?:\./)?(?P<stage>\d\d_\w+)\.ipynb$")
_NUMBER = re.compile(
    r"^(?:[-+−<>~≈±]?\s*[\d.,  _]+(?:e[-+]?\d+)?\s*(?:%|s|ms|µs|MB|×)?|–|NaN|None|)$", re.IGNORECASE
)
_GLOSSARY = re.compile(r"^(?:\.\./)?docs/glossary\.md(?P<term>#[\w-]+)?$")
_COSTS = "README.md"  # of the notebooks: where they say how many minutes they take


@dataclass(frozen=True)
class Heading:
    """One entry of a table of contents.

    Attributes:
        level: 2 or 3.
        anchor: the heading's id.
        text: the heading.
    """

    level: int
    anchor: str
    text: str


@dataclass(frozen=True)
class Body:
    """The cells of a notebook as HTML.

    Attributes:
        title: the first heading.
        html: the cells.
        contents: the headings of levels 2 and 3.
    """

    title: str
    html: str
    contents: tuple[Heading, ...]


def finish(rendered: str, *, title: str, where: str, pages: Mapping[str, str]) -> Body:
    """Return the cells, safe to open offline.

    Args:
        rendered: the cells as `cells.html.j2` renders them.
        title: the first heading of a notebook that has none.
        where: the notebook's path, for messages.
        pages: the pages to link to, by notebook.

    Raises:
        OsemnError: an image is not embedded in the notebook, or has no alt text.
    """
    soup = BeautifulSoup(rendered, "html.parser")
    _remove_active(soup)
    _check_images(soup, where)
    _order_headings(soup, title)
    contents = tuple(_set_ids(soup))
    _rewrite_links(soup, pages)
    for table in soup.find_all("table"):
        _dress_table(soup, table)
    _name_boxes(soup)
    return Body(soup.find("h1").get_text(" ", strip=True), str(soup), contents)


def _remove_active(soup: BeautifulSoup) -> None:
    """Remove everything that runs or fetches, and styles that refer to other files."""
    for element in soup.find_all(_ACTIVE):
        element.decompose()
    for element in soup.find_all("style"):
        if "dataframe" in element.get_text() or _EXTERNAL_CSS.search(element.get_text()):
            element.decompose()
    for element in soup.find_all(True):
        for name in list(element.attrs):
            if _FETCHING.match(name) or (name == "style" and _EXTERNAL_CSS.search(element[name])):
                del element[name]


def _check_images(soup: BeautifulSoup, where: str) -> None:
    for image in soup.find_all("img"):
        cell = image.find_parent(attrs={"data-cell": True})
        place = f"cell {cell['data-cell']} of {where}" if cell else where
        if not (image.get("alt") or "").strip():
            raise OsemnError(
                f"An image in {place} has no alt text.",
                "show figures by run.show(figure, name) with figures.with_alt, or write ![alt text](…)",
            )
        if not image.get("src", "").startswith("data:"):
            raise OsemnError(
                f"An image in {place} is not in the notebook: {image.get('src', '')}.",
                "show it from a code cell, so that the page contains it",
            )


def _order_headings(soup: BeautifulSoup, title: str) -> None:
    """Start with one first-level heading, and skip no level."""
    headings = soup.find_all(_HEADINGS)
    if not headings or headings[0].name != "h1":
        first = soup.new_tag("h1")
        first.string = title
        soup.insert(0, first)
        headings.insert(0, first)
    level = 1
    for heading in headings[1:]:
        level = min(max(int(heading.name[1]), 2), level + 1)
        heading.name = f"h{level}"


def _set_ids(soup: BeautifulSoup) -> Iterator[Heading]:
    """Give every heading a unique id; remove other ids that are taken."""
    taken = {"main", "contents", "provenance"}
    for element in soup.find_all(id=True):
        if _HEADINGS.match(element.name) or element["id"] in taken:
            del element["id"]
        else:
            taken.add(element["id"])
    for heading in soup.find_all(_HEADINGS):
        text = heading.get_text(" ", strip=True)
        anchor, number = slug(text), 2
        while anchor in taken:
            anchor, number = f"{slug(text)}-{number}", number + 1
        taken.add(anchor)
        heading["id"] = anchor
        if heading.name in ("h2", "h3"):
            yield Heading(int(heading.name[1]), anchor, text)


def slug(text: str) -> str:
    """Return a text as an anchor: lower-case ASCII letters and digits, joined by hyphens, without apostrophes as on GitHub."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().replace("'", "")
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "section"


def _rewrite_links(soup: BeautifulSoup, pages: Mapping[str, str]) -> None:
    """Keep links inside the report; replace all others by their text and the address."""
    anchors = {element["id"] for element in soup.find_all(id=True)}
    for link in soup.find_all("a"):
        target = link.get("href", "")
        notebook = _NOTEBOOK.match(target)
        link.attrs = {}
        if notebook and notebook["stage"] in pages:
            link["href"] = pages[notebook["stage"]]
        elif term := _GLOSSARY.match(target):
            link["href"] = f"glossary.html{term['term'] or ''}"
        elif target == _COSTS:
            link["href"] = "#provenance"  # of the page, which has the minutes of this run
        elif target.startswith("#") and target[1:] in anchors:
            link["href"] = target
        else:
            if "//" in target and target not in link.get_text():
                link.append(f" ({target})")
            if notebook:
                link.append(" (not run)")
            link.unwrap()


def _dress_table(soup: BeautifulSoup, table: Tag) -> None:
    """Let a table scroll, set the scopes of its headers, and align its columns of numbers."""
    del table["border"]
    for row in table.find_all("tr"):
        if re.fullmatch(r"\s*text-align:\s*right;?\s*", row.get("style", "")):
            del row["style"]
    for header in table.find_all("th"):
        if not header.get_text(strip=True):
            header.name = "td"
        else:
            header["scope"] = "col" if header.find_parent("thead") else "row"
    _merge_heads(table)
    _align_numbers(table)
    for title in table.thead.find_all("th") if table.thead else ():
        _let_break(soup, title)
    box = {"class": "scroll", "tabindex": "0", "role": "group", "aria-label": "Table"}
    table.wrap(soup.new_tag("div", attrs=box))


def _merge_heads(table: Tag) -> None:
    """Write the name of a pandas index into the row of the other names, which leaves one row of headers."""
    rows = table.thead.find_all("tr") if table.thead else []
    if len(rows) == 2 and not any(cell.get_text(strip=True) for cell in rows[1].find_all(["td", "th"])[1:]):
        rows[0].find(["td", "th"]).replace_with(rows[1].find(["td", "th"]))
        rows[1].decompose()


def _let_break(soup: BeautifulSoup, title: Tag) -> None:
    """Let the name of a column break after an underscore."""
    first, *rest = re.split("(?<=_)", title.string or "")
    if rest:
        title.string = first
        for part in rest:
            title.extend([soup.new_tag("wbr"), part])


def _name_boxes(soup: BeautifulSoup) -> None:
    """Name each box that scrolls after the heading above it, and number those of the same name."""
    taken: dict[str, int] = {}
    for box in soup.find_all(attrs={"role": "group"}):
        name = f"{box['aria-label']}: {box.find_previous(_HEADINGS).get_text(' ', strip=True)}"
        taken[name] = taken.get(name, 0) + 1
        box["aria-label"] = name if taken[name] == 1 else f"{name}, {taken[name]}"


def _align_numbers(table: Tag) -> None:
    rows = [row.find_all(["td", "th"]) for row in table.find_all("tr")]
    body = [row for row in rows if row and not row[0].find_parent("thead")]
    if not body or any(cell.has_attr("colspan") or cell.has_attr("rowspan") for row in rows for cell in row):
        return
    for column in range(1, max(map(len, body))):
        texts = [row[column].get_text(strip=True) for row in body if column < len(row)]
        if any(texts) and all(_NUMBER.match(text) for text in texts):
            for row in (row for row in rows if column < len(row)):
                row[column]["class"] = [*(row[column].get("class") or []), "number"]
