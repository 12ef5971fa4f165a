"""The words of the pages that mailed links open, by language, from the release's own file; renders nothing."""

from collections.abc import Mapping

from consent_gateway.customers.mail import released
from consent_gateway.vocabulary import LANGUAGES


def page_words() -> Mapping[str, Mapping[str, str]]:
    """Words by language and name. Raises `ValueError` where a language lacks one: it is part of the release."""
    raw = released("pages")
    names = set(raw[LANGUAGES[0]])
    if set(raw) != set(LANGUAGES) or any(set(words) != names for words in raw.values()):
        raise ValueError("the words of the links' pages do not stand in every language")
    return {language: {name: str(word) for name, word in words.items()} for language, words in raw.items()}
