"""One JSON line per event on standard error; formats, and takes care that no personal value gets in.

An exception's message may quote what it was given, so of an exception only its type and the places it passed
are written. Addresses are logged as route templates, never as sent.
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

EVENT = "event"
"""Key of `extra` under which a record carries its members: `extra={EVENT: {...}}`."""


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, the event's members, the error's places."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. A value that JSON cannot hold is written as its type's name."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, EVENT, {}))
        if record.exc_info and record.exc_info[1] is not None:
            line["error"], line["at"] = _places(record.exc_info[1])
        return orjson.dumps(line, default=lambda value: type(value).__name__).decode()


def configure(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send all logging of this process to the stream (standard error if None) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("authlib").setLevel(logging.WARNING)  # its debug lines hold tokens
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it quotes collectors; we say what fails


def _places(error: BaseException) -> tuple[str, list[str]]:
    chain = [type(error).__qualname__]
    places: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        if cause is not error:
            chain.append(type(cause).__qualname__)
        frames = traceback.extract_tb(cause.__traceback__)[-8:]
        places.extend(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
        cause = cause.__cause__ or cause.__context__
    return " from ".join(chain[:5]), places[:24]
