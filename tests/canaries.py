"""Looks for planted values in everything a gateway leaves behind, in every form in which they could be written."""

import json
import urllib.parse
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import sqlalchemy as sa

SHORTEST = 8  # bytes; a shorter value would be met by chance


def forms(value: str | bytes) -> dict[str, bytes]:
    """Every way in which the value might stand in a file, by name. Of text also its lower and its upper case."""
    if isinstance(value, bytes):
        return _of_bytes(value)
    found = {}
    for name, text in (("", value), ("lower ", value.lower()), ("upper ", value.upper())):
        found |= {f"{name}{form}": raw for form, raw in _of_bytes(text.encode()).items()}
        found |= {
            f"{name}utf-16-le": text.encode("utf-16-le"),
            f"{name}utf-16-be": text.encode("utf-16-be"),
            f"{name}url": urllib.parse.quote(text, safe="").encode(),
            f"{name}url lower": _lower_escapes(urllib.parse.quote(text, safe="")).encode(),
            f"{name}form": urllib.parse.quote_plus(text).encode(),
            f"{name}json": json.dumps(text)[1:-1].encode(),
            f"{name}json twice": json.dumps(json.dumps(text))[3:-3].encode(),
            f"{name}repr": ascii(text)[1:-1].encode(),
        }
    return found


def _of_bytes(raw: bytes) -> dict[str, bytes]:
    assert len(raw) >= SHORTEST, "a canary must be long enough not to be met by chance"
    found = {"raw": raw, "hex": raw.hex().encode(), "hex upper": raw.hex().upper().encode()}
    found["repr of bytes"] = repr(raw)[2:-1].encode()
    for skipped in range(3):  # base64 of the value inside something longer depends on where in it the value begins
        inner = (b"\0" * skipped + raw)[: (skipped + len(raw)) // 3 * 3]
        start = 4 if skipped else 0
        found[f"base64 +{skipped}"] = b64encode(inner)[start:]
        found[f"base64url +{skipped}"] = urlsafe_b64encode(inner)[start:]
    return found


def _lower_escapes(text: str) -> str:
    return "%".join(part if at == 0 else part[:2].lower() + part[2:] for at, part in enumerate(text.split("%")))


class Search:
    """The planted values in all their forms, ready to be looked for."""

    def __init__(self, canaries: Mapping[str, str | bytes]) -> None:
        self._forms = {(name, form): raw for name, value in canaries.items() for form, raw in forms(value).items()}

    def hits(self, place: str, haystack: bytes) -> list[str]:
        """Where a value stands: `value as form in place`, one line for each."""
        return [f"{name} as {form} in {place}" for (name, form), raw in self._forms.items() if raw in haystack]

    def everywhere(self, places: Iterable[tuple[str, bytes]]) -> list[str]:
        """The hits of all places."""
        return [hit for place, haystack in places for hit in self.hits(place, haystack)]


def files(folder: Path, apart: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder but those in which the values must be, and the names of all."""
    left_out = set(apart)
    for path in sorted(folder.rglob("*")):
        yield "name of a file", str(path).encode()
        if path.is_file() and path not in left_out:
            yield str(path.relative_to(folder)), path.read_bytes()


def tables(url: str) -> Iterator[tuple[str, bytes]]:
    """Every value of every table of a PostgreSQL database; a SQLite file is read as a file, free pages included."""
    target = sa.make_url(url)
    if target.get_backend_name() == "sqlite":
        return
    engine = sa.create_engine(target.set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        for table in sa.inspect(engine).get_table_names():
            rows = connection.exec_driver_sql(f'SELECT * FROM "{table}"').all()
            values = (value for row in rows for value in row if value is not None)
            raw = b"\n".join(bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for v in values)
            yield f"{target.database}.{table}", raw
    engine.dispose()
