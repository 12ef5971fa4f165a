"""The issuers file: what stands is read as written, what does not is refused with line and mend."""

from datetime import timedelta
from pathlib import Path

import pytest

from consent_gateway.callers.issuers import host_of, read_issuers
from consent_gateway.errors import SettingsRefused

GOOD = """\
issuers:
  - issuer: https://login.example
    audience: https://gateway.example
    algorithms: [ES256, RS256]
    discovery: https://login.example/.well-known/openid-configuration
"""
WHOLE = """\
issuers:
  - issuer: https://login.example/realm
    audience: gateway
    algorithms: [Ed25519]
    jwks_uri: https://keys.example/jwks
    client_claim: azp
    acr: [phishing-resistant]
    longest_life_seconds: 600
    hosts: [keys.example, idp.internal]
    private_hosts: [idp.internal]
    introspection:
      endpoint: https://idp.internal/introspect
      client_id: gateway
      client_secret_file: secret
"""


def written(folder: Path, text: str) -> Path:
    """The file, beside a secret."""
    (folder / "secret").write_text("s3cret\n", encoding="utf-8")
    (folder / "empty").write_text("", encoding="utf-8")
    path = folder / "issuers.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shortest_file_stands(tmp_path: Path) -> None:
    """Issuer, audience, algorithms and one source of keys are enough; the rest has safe defaults."""
    (issuer,) = read_issuers(written(tmp_path, GOOD))
    assert (issuer.client_claim, issuer.acr, issuer.longest_life) == ("client_id", (), timedelta(hours=1))
    assert (issuer.hosts, issuer.private_hosts, issuer.introspection) == ({"login.example"}, frozenset(), None)


def test_the_longest_file_stands_and_hides_its_secret(tmp_path: Path) -> None:
    """Every member is read; the secret comes from the file named beside it and is not shown."""
    (issuer,) = read_issuers(written(tmp_path, WHOLE))
    assert issuer.introspection is not None
    assert (issuer.introspection.client_secret, issuer.client_claim) == ("s3cret", "azp")
    assert issuer.hosts == {"login.example", "keys.example", "idp.internal"}
    assert issuer.longest_life == timedelta(seconds=600)
    assert "s3cret" not in repr(issuer)


def test_json_is_read_too(tmp_path: Path) -> None:
    """JSON is a part of YAML."""
    text = (
        '{"issuers": [{"issuer": "https://a.example", "audience": "g", "algorithms": ["ES256"],'
        ' "jwks_uri": "https://a.example/k"}]}'
    )
    assert read_issuers(written(tmp_path, text))[0].jwks_uri == "https://a.example/k"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("algorithms: [ES256, RS256]", "algorithms: [HS256]", "issuers.yaml:4: unknown algorithm `HS256`"),
        ("algorithms: [ES256, RS256]", "algorithms: [none]", "unknown algorithm `none`"),
        ("algorithms: [ES256, RS256]", "algorithms: []", "issuers.yaml:4"),
        ("    algorithms: [ES256, RS256]\n", "", "`algorithms` is missing; add `algorithms`"),
        ("    audience: https://gateway.example\n", "", "`audience` is missing"),
        ("issuer: https", "issuer: http", "is not https"),
        ("https://login.example\n", "https://me:pw@login.example\n", "holds a name"),
        ("https://login.example\n", "https://login.example?x=y\n", "a query or a fragment"),
        ("https://login.example\n", "https://login.example:port\n", "no port"),
        ("https://login.example\n", "login.example\n", "is no absolute URL"),
        ("discovery: https://login.example", "discovery: https://evil.example", "`evil.example` is not the issuer's"),
        ("    discovery: https://login.example/.well-known/openid-configuration\n", "", "one source"),
        ("    discovery", "    jwks_uri: https://login.example/k\n    discovery", "one source"),
        ("    discovery", "    private_hosts: [db.internal]\n    discovery", "no host of this issuer"),
        ("    discovery", "    client_claim: email\n    discovery", "unknown claim `email`"),
        ("    discovery", "    longest_life_seconds: 90000\n    discovery", "longest_life_seconds"),
        ("    discovery", "    audiences: [x]\n    discovery", "unknown key `audiences`; did you mean `audience`?"),
        ("    audience", "    issuer: https://b.example\n    audience", "stands twice"),
        ("issuers:\n", "issuers: [\n", "this is not YAML"),
    ],
)
def test_each_fault_is_told_with_its_mend(tmp_path: Path, old: str, new: str, told: str) -> None:
    """What is missing, unknown, unsafe or ambiguous ends the start, and nothing of it is used."""
    assert old in GOOD
    with pytest.raises(SettingsRefused) as refused:
        read_issuers(written(tmp_path, GOOD.replace(old, new, 1)))
    assert told in refused.value.message


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8081", "http://localhost", "http://[::1]", "https://169.254.169.254", "https://10.0.0.7"],
)
def test_an_address_that_would_never_be_called_is_refused(tmp_path: Path, address: str) -> None:
    """Loopback and private addresses, for keys, discovery or introspection, are refused at the start unless listed."""
    host = host_of(address)
    text = GOOD.replace("https://login.example", address)
    asked = WHOLE.replace("https://idp.internal", address).replace("idp.internal", "'" + host + "'")
    closed = asked.replace(f"    private_hosts: ['{host}']\n", "")
    for one in (text, text.replace("discovery", "jwks_uri"), closed):
        with pytest.raises(SettingsRefused, match="add it to `private_hosts` if it is meant"):
            read_issuers(written(tmp_path, one))
    for one in (f"{text}    private_hosts: ['{host}']\n", asked):
        assert read_issuers(written(tmp_path, one))[0].private_hosts == {host}


def test_what_stands_alone_may_not_stand_together(tmp_path: Path) -> None:
    """One issuer twice, and two that can be asked about opaque tokens, are refused."""
    with pytest.raises(SettingsRefused, match="stands twice"):
        read_issuers(written(tmp_path, GOOD + GOOD.removeprefix("issuers:\n")))
    second = WHOLE.removeprefix("issuers:\n").replace("login.example", "other.example")
    with pytest.raises(SettingsRefused, match=r"issuers\.yaml:15: an opaque token does not say whose it is"):
        read_issuers(written(tmp_path, WHOLE + second))


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_secret_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    """The secret's file must exist and hold something."""
    with pytest.raises(SettingsRefused, match="client_secret_file"):
        read_issuers(written(tmp_path, WHOLE.replace("client_secret_file: secret", f"client_secret_file: {name}")))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path that leads nowhere ends the start."""
    with pytest.raises(SettingsRefused, match="cannot be read"):
        read_issuers(tmp_path / "none.yaml")
