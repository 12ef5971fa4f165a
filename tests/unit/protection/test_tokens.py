"""Token text: what is written is read back, and nothing else is."""

import pytest
from email_validator import validate_email

from consent_gateway.errors import ProtectionRefused
from consent_gateway.protection.tokens import PRESENT_VERSION, REFUSED_VERSION, RELAY, TokenKind, parse, write


@pytest.mark.parametrize("kind", list(TokenKind))
def test_what_is_written_is_read_back(kind: TokenKind) -> None:
    """A token of each kind comes apart into what it was made of, and shows its kind and key id in the clear."""
    for length in (1, 2, 3, 20, 200):
        text = write(kind, "k7q2", bytes(range(length)))
        version = PRESENT_VERSION[kind]
        assert text.startswith(f"{kind.value}{version}.k7q2.")
        token = parse(text)
        assert (token.kind, token.version, token.key_id, token.body) == (kind, version, "k7q2", bytes(range(length)))


def test_a_slip_in_any_place_is_noticed() -> None:
    """One character changed, lost or doubled anywhere is refused."""
    for kind in TokenKind:
        text = write(kind, "k7q2", bytes(range(20)))
        for at in range(len(text)):
            other = "b" if text[at] != "b" else "c"
            changed = text[:at] + other + text[at + 1 :]
            for slip in (changed, text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]):
                with pytest.raises(ProtectionRefused):
                    parse(slip)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ps1",
        "ps1.k7q2.",
        "ps1.k7q2.abcd",
        "PS1.k7q2.abcdefgh",
        "ps0.k7q2.abcdefgh",
        "ps1.K7Q2.abcdefgh",
        "a@b.example",
        "ps1.k7q2.abcdefgh\ud800",
        "ps1.k7q2.\u00e4bcdefgh@relay.invalid",
    ],
)
def test_what_has_not_the_shape_is_refused(text: str) -> None:
    """Text of another shape is refused without being quoted."""
    with pytest.raises(ProtectionRefused) as caught:
        parse(text)
    assert not text or text not in caught.value.message


@pytest.mark.parametrize(("old", "new"), [("ps1", "ps2"), ("ps1", "zz1"), ("ps1", "td3")])
def test_an_unknown_format_is_refused_by_name(old: str, new: str) -> None:
    """A kind or version that this gateway does not write is named, not guessed at."""
    text = write(TokenKind.PSEUDONYM_OF_PERSON, "k7q2", bytes(20)).replace(old, new)
    with pytest.raises(ProtectionRefused, match=f"no token format `{new}`"):
        parse(text)


@pytest.mark.parametrize(("kind", "version"), list(REFUSED_VERSION))
def test_a_format_that_is_read_no_more_is_refused_with_its_mend(kind: TokenKind, version: int) -> None:
    """A token of a format that was written once is not called unknown: the refusal says what it was and what to do."""
    text = write(kind, "k7q2", bytes(20)).replace(f"{kind.value}{PRESENT_VERSION[kind]}", f"{kind.value}{version}")
    with pytest.raises(ProtectionRefused) as caught:
        parse(text)
    assert caught.value.message == REFUSED_VERSION[kind, version]


def test_only_one_text_for_the_same_bytes() -> None:
    """A body with unused bits set, or of impossible length, is refused even with the right check characters."""
    from consent_gateway.protection.tokens import _check

    def checked(kind: TokenKind, text: str, end: str = "") -> str:
        return text + _check(kind, text.encode()).decode() + end

    person, alias = TokenKind.PSEUDONYM_OF_PERSON, TokenKind.EMAIL_ALIAS
    assert parse(checked(person, "ps1.k7q2.AA")).body == b"\0"
    assert parse(checked(alias, "ea1.k7q2.aa", RELAY)).body == b"\0"
    others = [(person, f"ps1.k7q2.{body}", "") for body in ("AB", "A=A", "AA==", "AA\n", "+/8A", "A A")]
    for kind, text, end in (*others, (alias, "ea1.k7q2.ab", RELAY)):
        with pytest.raises(ProtectionRefused, match=r"canonical|not base64url"):
            parse(checked(kind, text, end))
    for kind, text, end in ((person, "ps1.k7q2.A", ""), (alias, "ea1.k7q2.a", RELAY)):
        with pytest.raises(ProtectionRefused, match="not base64url"):
            parse(checked(kind, text, end))


def test_an_alias_is_an_address_in_any_case() -> None:
    """An alias address is one in its RFC 5321 form, is read whatever a mail system did to its case, and no other is."""
    text = write(TokenKind.EMAIL_ALIAS, "k7q2", bytes(range(20)))
    local, domain = text.split("@")
    assert domain == "relay.invalid"
    assert len(local) == 45
    assert validate_email(f"{local}@relay.example.de", check_deliverability=False).local_part == local
    assert parse(text.upper()) == parse(text.title()) == parse(text)
    for other in (local, write(TokenKind.PSEUDONYM_OF_PERSON, "k7q2", bytes(20)) + RELAY, f"x@{domain}"):
        with pytest.raises(ProtectionRefused):
            parse(other)
