"""Reads how the company looks and whom a customer can turn to; refuses colours nobody could read, draws nothing.

A brand is a name, a logo, four colours for light and four for dark, and a typeface. Whatever else the page needs is
mixed from these, so that a brand cannot set a pair of colours that was not checked here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy.findings import Finding
from consent_gateway.policy.source import parse

TEXT_CONTRAST = 4.5
"""Smallest ratio of text to what is behind it (WCAG 2.2, 1.4.3)."""

MOST_LOGO_BYTES = 20_000
_SCHEMES = ("light", "dark")
_TOKENS = ("paper", "ink", "accent", "on_accent")
_PAIRS = (("ink", "paper"), ("on_accent", "accent"), ("accent", "paper"))
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_TYPEFACE = re.compile(r"[A-Za-z0-9 ,'-]{1,200}")
_EMAIL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")
_PHONE = re.compile(r"\+[0-9 ]{6,20}")
_FILE = "page/brand.yaml"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the matrix: a topic, and the purpose by which each way of contact is used for it."""

    topic: str
    cells: Mapping[str, str]  # way of contact -> purpose


@dataclass(frozen=True, slots=True)
class Brand:
    """How the page looks. `tokens` gives the colours by scheme, each `#rrggbb`; `logo` is SVG."""

    name: str
    logo: bytes
    typeface: str
    tokens: Mapping[str, Mapping[str, str]]
    contact_email: str
    contact_phone: str
    contact_post: str
    matrix: tuple[Row, ...]

    @property
    def contacting(self) -> frozenset[str]:
        """The purposes of the matrix: those by which the company comes to the person."""
        return frozenset(purpose for row in self.matrix for purpose in row.cells.values())

    def purposes_of(self, part: str, key: str) -> tuple[str, ...]:
        """The purposes of one `row` (a way of contact), `column` (a topic) or `cell` (a purpose) of the matrix."""
        if part == "row":
            found = [row.cells[key] for row in self.matrix if key in row.cells]
        elif part == "column":
            found = [purpose for row in self.matrix if row.topic == key for purpose in row.cells.values()]
        else:
            found = [key] if part == "cell" and key in self.contacting else []
        return tuple(dict.fromkeys(found))

    def stylesheet(self) -> bytes:
        """The tokens and what is mixed from them as custom properties, light and dark."""
        rules = [f":root {{ --typeface: {self.typeface}; {_properties(self.tokens['light'])} }}"]
        rules.append(f"@media (prefers-color-scheme: dark) {{ :root {{ {_properties(self.tokens['dark'])} }} }}\n")
        return "\n".join(rules).encode()


def read_brand(policies: Path) -> Brand:
    """The brand in `page/brand.yaml` of a policy directory. Raises `PolicyInvalid` with every finding."""
    path = policies / _FILE
    if not path.is_file():
        raise PolicyInvalid(f"there is no `{_FILE}`: write the name, logo, colours and contacts of the company")
    faults: list[Finding] = []
    document = parse(_FILE, path.read_text(encoding="utf-8"), faults)
    given = document.value if isinstance(document.value, dict) else {}
    wrong = [Finding(_FILE, document.line((word,)), what, mend) for word, what, mend in _faults(given, path.parent)]
    if faults or wrong:
        told = tuple(str(finding) for finding in (*faults, *wrong))
        raise PolicyInvalid(f"the brand does not stand; first {told[0]}", told)
    return Brand(
        name=given["name"],
        logo=(path.parent / given["logo"]).read_bytes(),
        typeface=given["typeface"],
        tokens=given["colours"],
        contact_email=given["contact"]["email"],
        contact_phone=given["contact"]["phone"],
        contact_post=given["contact"]["post"],
        matrix=tuple(Row(row["topic"], row["cells"]) for row in given["matrix"]),
    )


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours `#rrggbb`, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _faults(given: Mapping[str, Any], folder: Path) -> list[tuple[str, str, str]]:
    told = given.get("contact")
    contact: Mapping[str, Any] = told if isinstance(told, dict) else {}
    checks = (
        ("name", _is_text(given.get("name"), 60), "`name` is no text", "write the company's name"),
        ("logo", _is_logo(folder, given.get("logo")), "`logo` is no small SVG file here", "name one of up to 20 kB"),
        ("typeface", _fits(_TYPEFACE, given.get("typeface")), "`typeface` is no list of families", "name families"),
        ("contact", _fits(_EMAIL, contact.get("email")), "`contact.email` is no address", "write one"),
        (
            "contact",
            _fits(_PHONE, contact.get("phone")),
            "`contact.phone` is no number",
            "write it with `+`",
        ),
        ("contact", _is_text(contact.get("post"), 200), "`contact.post` is no text", "write the postal address"),
        ("matrix", _is_matrix(given.get("matrix")), "`matrix` is no list of topics", "write `topic` and `cells` each"),
    )
    found = [(word, what, mend) for word, right, what, mend in checks if not right]
    return found + _colour_faults(given.get("colours"))


def _colour_faults(colours: Any) -> list[tuple[str, str, str]]:
    found = []
    for scheme in _SCHEMES:
        tokens = colours.get(scheme) if isinstance(colours, dict) else None
        if not isinstance(tokens, dict) or set(tokens) != set(_TOKENS):
            found.append(("colours", f"`colours.{scheme}` must name {', '.join(_TOKENS)}", "name exactly these"))
        elif not all(_fits(_COLOUR, value) for value in tokens.values()):
            found.append(("colours", f"a colour of `{scheme}` is not `#rrggbb`", "write six hexadecimal digits"))
        else:
            found += [
                (
                    "colours",
                    f"`{front}` on `{back}` of `{scheme}` has a contrast of {ratio:.2f}",
                    f"make it {TEXT_CONTRAST} or more",
                )
                for front, back in _PAIRS
                if (ratio := contrast(tokens[front], tokens[back])) < TEXT_CONTRAST
            ]
    return found


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_text(value: object, longest: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= longest and value.isprintable()


def _is_logo(folder: Path, name: object) -> bool:
    if not _fits(re.compile(r"[A-Za-z0-9_-]+\.svg"), name):
        return False
    file = folder / str(name)
    return file.is_file() and file.stat().st_size <= MOST_LOGO_BYTES


def _is_matrix(rows: object) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, dict) and set(row) == {"topic", "cells"} and isinstance(row["cells"], dict) for row in rows
    )


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mixed(front: str, back: str, share: float) -> str:
    pairs = [(int(front[at : at + 2], 16), int(back[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(one * share + other * (1 - share)):02x}" for one, other in pairs)


def _properties(tokens: Mapping[str, str]) -> str:
    paper, ink = tokens["paper"], tokens["ink"]
    mixed = {
        "soft": _readable(ink, paper),
        "line": _mixed(ink, paper, 0.55),
        "panel": _mixed(ink, paper, 0.05),
    }
    named = {name.replace("_", "-"): value for name, value in {**tokens, **mixed}.items()}
    return " ".join(f"--{name}: {value};" for name, value in named.items())


def _readable(ink: str, paper: str) -> str:
    """A softer ink that can still be read on paper and on the panel; ink itself where the brand leaves no room."""
    soft, panel = _mixed(ink, paper, 0.78), _mixed(ink, paper, 0.05)
    return soft if min(contrast(soft, paper), contrast(soft, panel)) >= TEXT_CONTRAST else ink
