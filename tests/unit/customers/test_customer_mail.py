"""Mail to customers: its words, its headers, and its way out by a real SMTP server over verified TLS."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd import smtp
from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.customer_settings import SmtpServer
from consent_gateway.customers.mail import (
    LANGUAGES,
    Mail,
    MailRefused,
    MailUndelivered,
    Sender,
    language_of,
    message_of,
    new_mail,
    wordings,
)
from consent_gateway.customers.outbox import Outbox
from consent_gateway.customers.smtp import SmtpMailer
from tests.conftest import NOON, StillClock
from tests.deployment import free_port

SENDER = Sender("privacy@gateway.example", "Coffee & Co")
MAIL = Mail("ml_1", "ada@example.com", "Ein Gruß", "Ein Gruß\n\nhttps://gateway.example/x?t=" + "y" * 43 + "\n", "de")


class Mailbox:
    """What the server took; `answer` is what it says to a recipient."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.taken.append((envelope, session.ssl is not None))
        return "250 OK"


class TlsController(Controller):
    """The server with a port that is free, and STARTTLS demanded where it has a certificate."""

    def factory(self) -> smtp.SMTP:
        return smtp.SMTP(self.handler, **self.SMTP_kwargs)


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's TLS under a certificate for 127.0.0.1, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """The certificate's file, and the server's TLS."""
    folder = tmp_path_factory.mktemp("tls")
    context = certificate(folder)
    return folder / "cert.pem", context


@pytest.fixture(params=["starttls", "tls"])
def server(request: pytest.FixtureRequest, authority: tuple[Path, ssl.SSLContext]) -> Iterator[tuple[Mailbox, Any]]:
    """A real server with STARTTLS, or TLS from the first byte, and our settings for it."""
    box, port, implicit = Mailbox(), free_port(), request.param == "tls"
    tls: dict[str, Any] = (
        {"ssl_context": authority[1]} if implicit else {"tls_context": authority[1], "require_starttls": True}
    )
    controller = TlsController(box, hostname="127.0.0.1", port=port, **tls)
    controller.start()
    yield box, SmtpServer("127.0.0.1", port, implicit, None, None, authority[0])
    controller.stop()


def mailer(settings: SmtpServer, authority: Path | None) -> SmtpMailer:
    tls = ssl.create_default_context(cafile=None if authority is None else str(authority))
    return SmtpMailer(settings, SENDER, StillClock(), tls)


def test_a_mail_says_its_language_and_that_no_person_wrote_it() -> None:
    """Setting a mail's content takes no header away: a screen reader hears the right voice (RFC 3282, 3834)."""
    message = message_of(replace(MAIL, language="ar"), SENDER, NOON)
    assert (message["Content-Language"], message["Auto-Submitted"]) == ("ar", "auto-generated")


def test_mail_leaves_by_a_real_server_over_tls(server: Any) -> None:
    """The server gets one recipient, our sender and the text whole, encrypted either way."""
    box, settings = server
    mailer(settings, settings.ca_file).send(MAIL)
    ((envelope, encrypted),) = box.taken
    assert encrypted or settings.implicit_tls  # the server tells it of STARTTLS alone; the other port has no plain form
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER.address, [MAIL.recipient])
    assert b"Message-ID: <ml_1@gateway.example>" in envelope.content


def test_a_server_of_another_authority_gets_nothing(server: Any) -> None:
    """Where the certificate does not verify, no mail leaves and it stays queued."""
    box, settings = server
    with pytest.raises(MailUndelivered):
        mailer(settings, None).send(MAIL)
    assert box.taken == []


def test_what_a_server_answers_decides_what_becomes_of_the_mail(server: Any) -> None:
    """A recipient refused for good drops the mail, one refused for now keeps it; neither quotes the address."""
    box, settings = server
    for answer, told in (("550 no such ada@example.com", MailRefused), ("450 later ada@example.com", MailUndelivered)):
        box.answer = answer
        with pytest.raises(told) as raised:
            mailer(settings, settings.ca_file).send(MAIL)
        assert "ada" not in raised.value.message


def test_mail_never_leaves_in_the_clear(authority: tuple[Path, ssl.SSLContext]) -> None:
    """A server without STARTTLS, as behind somebody who strips it, gets nothing; nor does one that is away."""
    box, port = Mailbox(), free_port()
    settings = SmtpServer("127.0.0.1", port, implicit_tls=False, login=None, password=None, ca_file=authority[0])
    with pytest.raises(MailUndelivered):
        mailer(settings, authority[0]).send(MAIL)
    controller = TlsController(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        with pytest.raises(MailUndelivered):
            mailer(settings, authority[0]).send(MAIL)
    finally:
        controller.stop()
    assert box.taken == []


@given(st.text(max_size=40), st.sampled_from(["\r", "\n", "\r\n", "\x00", ",", " ", "<"]), st.text(max_size=40))
def test_no_recipient_brings_a_header_along(before: str, between: str, after: str) -> None:
    """Whatever an address holds around a line break or a separator, it is refused and no message is made."""
    with pytest.raises(MailRefused):
        message_of(replace(MAIL, recipient=f"{before}{between}{after}@example.com"), SENDER, NOON)


def test_no_other_header_breaks_its_line() -> None:
    """A line break in the subject line refuses the mail."""
    with pytest.raises(MailRefused):
        message_of(replace(MAIL, subject_line="Hello\r\nBcc: eve@example.com"), SENDER, NOON)


def test_every_language_says_the_same_with_the_same_places() -> None:
    """Six languages, each with link, the way to end it, minutes and name filled and nothing left open."""
    words = wordings("sign_in")
    assert set(words) == set(LANGUAGES)
    for language, wording in words.items():
        link, not_me = "https://x/?t={name}", "https://x/not?t=1"
        mail = new_mail("a@example.com", wording, language, NOON, link=link, not_me=not_me, minutes="10", name="C")
        assert link in mail.text
        assert not_me in mail.text
        assert "10" in mail.text
        assert "{minutes}" not in mail.text


def test_the_language_is_the_first_wanted_that_there_is() -> None:
    """Preference order decides, regions are read as their language, and English is for everybody else."""
    assert language_of(["nl", "AR-eg", "de"]) == "ar"
    assert language_of(["nl"]) == language_of([]) == "en"


def test_the_outbox_keeps_mail_to_be_read(tmp_path: Path) -> None:
    """What is sent there is shown newest first, in files that nobody else reads."""
    outbox = Outbox(tmp_path / "outbox", SENDER, StillClock())
    assert outbox.newest() == ()
    outbox.send(MAIL)
    outbox.send(replace(MAIL, mail_id="ml_2", subject_line="second"))
    assert [(one.recipient, one.subject_line) for one in outbox.newest()] == [
        ("ada@example.com", "second"),
        ("ada@example.com", "Ein Gruß"),
    ]
    assert outbox.newest()[1].text.replace("\r\n", "\n") == MAIL.text
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "outbox").iterdir()} == {0o600}
