"""What is wrong with a policy document, where, and how to mend it; decides nothing."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One fault in one file. `line` counts from 1; `mend` says what to write instead."""

    path: str
    line: int
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}; {self.mend}"


def nearest(word: str, known: Iterable[str]) -> str:
    """A mend for an unknown word: the nearest known one, or all of them where none is near."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    if not words:
        return "remove it"
    shown = ", ".join(f"`{name}`" for name in words[:12])
    return f"use one of {shown}" + (" and so on" if len(words) > 12 else "")
