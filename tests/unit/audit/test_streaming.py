"""A SIEM is told of every sealed entry: over real TLS, at least once and in order, whatever happens to the receiver."""

import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from consent_gateway.audit import ocsf
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.streaming import PRESENT, EventFile, Streaming
from consent_gateway.audit.syslog import Message, SyslogOverTls, frame
from consent_gateway.audit.tables import AUDIT_LOG
from consent_gateway.errors import SettingsRefused
from consent_gateway.settings import read_settings
from tests.conftest import NOON, StillClock

SIZE = 1100  # more than two batches
_MESSAGE = re.compile(
    rb'<(?P<pri>\d{1,3})>1 (?P<at>\S+) (?P<host>\S+) consent-gateway - (?P<kind>\S+) \[meta sequenceId="(?P<n>\d+)"\] '
    rb"(?P<text>.*)",
    re.DOTALL,
)


class Receiver:
    """A syslog receiver on loopback, over real TLS. `reset_after` bytes it breaks off a connection, once."""

    def __init__(self, folder: Path, reset_after: int | None = None) -> None:
        self.certificate = folder / "siem.pem"
        self.received: list[bytes] = []
        self.reset_after = reset_after
        self.breaks = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(self.certificate))
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _peer = self._socket.accept()
            except OSError:
                return
            with plain:
                try:
                    with self._context.wrap_socket(plain, server_side=True) as secured:
                        self._read(secured)
                except OSError:
                    continue

    def _read(self, secured: ssl.SSLSocket) -> None:
        body = b""
        while True:
            block = secured.recv(4096)
            if not block:
                break
            body += block
            if self.reset_after is not None and len(body) >= self.reset_after:
                self.reset_after, self.breaks = None, self.breaks + 1
                secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.received.append(body)
                return
        self.received.append(body)
        secured.unwrap()

    def messages(self) -> list[re.Match[bytes]]:
        """Every whole message that came, read as RFC 5425 says."""
        found = []
        for rest in map(bytes, self.received):
            while rest:
                length, _, rest = rest.partition(b" ")  # noqa: PLW2901 - it is read from left to right
                if len(rest) < int(length):
                    break  # broken off within it
                read = _MESSAGE.fullmatch(rest[: int(length)])
                assert read, rest[:200]
                found.append(read)
                rest = rest[int(length) :]  # noqa: PLW2901 - as above
        return found

    def close(self) -> None:
        """Listen no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


def _certificate(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "siem")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOON - timedelta(days=3650))
        .not_valid_after(NOON + timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A receiver that takes everything."""
    made = Receiver(tmp_path)
    yield made
    made.close()


@pytest.fixture
def sealed(recorder: Recorder, sealer: Sealer, make_entry: Any) -> list[Entry]:
    """A log of some entries."""
    entries = [make_entry(channel="web", action="read", outcome=("open", "withheld")[n % 2]) for n in range(SIZE)]
    recorder.record_all(entries)
    while sealer.seal_once().more:
        pass
    return entries


Stream = Callable[[Receiver], Streaming]


@pytest.fixture
def stream(gateway_engine: sa.Engine, clock: StillClock) -> Stream:
    """A stream to a receiver."""

    def made(receiver: Receiver) -> Streaming:
        context = ssl.create_default_context(cafile=receiver.certificate)
        place = SyslogOverTls(receiver.address, context, "gate way")
        return Streaming(gateway_engine, "syslog", place, "log.example", clock)

    return made


def test_every_entry_arrives_once_and_in_order(receiver: Receiver, sealed: list[Entry], stream: Stream) -> None:
    """Each sealed entry is a message of RFC 5424 with its time, kind, sequence and an OCSF event; then nothing more."""
    following = stream(receiver)
    assert following.round() == SIZE
    assert following.round() == 0
    messages = receiver.messages()
    told = [json.loads(one["text"]) for one in messages]
    assert [one["metadata"]["uid"] for one in told] == [entry.entry_id for entry in sealed]
    assert [int(one["n"]) for one in messages] == list(range(1, SIZE + 1))
    assert {one["host"] for one in messages} == {b"gateway"}
    assert {one["kind"] for one in messages} == {b"decision"}
    assert [one["pri"] for one in messages[:2]] == [b"110", b"108"]
    assert messages[0]["at"].decode() == "2026-11-22T12:00:01.000000Z"


def test_what_is_sealed_later_follows(
    receiver: Receiver, sealed: list[Entry], stream: Stream, recorder: Recorder, sealer: Sealer, make_entry: Any
) -> None:
    """A stream that was opened anew goes on from where it was."""
    assert stream(receiver).round() == len(sealed)
    recorder.record(make_entry(kind=EntryKind.OFFICER, action="add", detail={"officer": "ofc_9"}, fields={}))
    sealer.seal_once()
    assert stream(receiver).round() == 1
    assert json.loads(receiver.messages()[-1]["text"])["class_uid"] == ocsf.ACCOUNT_CHANGE


def test_a_receiver_that_breaks_off_gets_it_again(tmp_path: Path, sealed: list[Entry], stream: Stream) -> None:
    """Of a batch that was reset in its middle every entry comes again, with the same id; none is lost."""
    receiver = Receiver(tmp_path, reset_after=50_000)
    following = stream(receiver)
    following.round()
    while following.round():
        pass
    receiver.close()
    ids = [json.loads(one["text"])["metadata"]["uid"] for one in receiver.messages()]
    assert receiver.breaks == 1
    assert len(ids) > SIZE
    assert list(dict.fromkeys(ids)) == [entry.entry_id for entry in sealed]


def test_a_receiver_that_is_away_or_another_one_gets_nothing(
    tmp_path: Path, sealed: list[Entry], stream: Stream
) -> None:
    """Nobody listens, or somebody whose certificate is not the one expected: nothing is sent, and later all of it."""
    gone = Receiver(tmp_path)
    gone.close()
    assert stream(gone).round() == 0
    other = Receiver(tmp_path)
    _certificate(tmp_path / "siem.pem")  # what we expect is another certificate than the one it shows
    assert stream(other).round() == 0
    other.close()
    assert other.received in ([], [b""])
    back = Receiver(tmp_path)
    assert stream(back).round() == len(sealed)
    back.close()


def test_a_file_holds_every_event_whole(
    sealed: list[Entry], gateway_engine: sa.Engine, clock: StillClock, tmp_path: Path
) -> None:
    """A line each; what a killed run left of a line is cut; a large file is set aside and not written again."""
    folder = tmp_path / "events"
    folder.mkdir()
    (folder / PRESENT).write_bytes(b'{"whole":1}\n{"half":')
    following = Streaming(gateway_engine, "file", EventFile(folder, most_bytes=100_000), "log.example", clock)
    assert following.round() == SIZE
    first, *more = sorted(folder.iterdir())
    lines = [json.loads(line) for path in (first, *more) for line in path.read_bytes().splitlines()]
    assert lines[0] == {"whole": 1}
    assert [one["metadata"]["sequence"] for one in lines[1:]] == list(range(SIZE))
    assert first.name == "events-000000000499.ndjson"


def test_an_event_has_what_its_class_asks_for(gateway_engine: sa.Engine, sealed: list[Entry]) -> None:
    """Every kind of entry gives an event with the members that OCSF requires of its class, and its leaf's hash."""
    assert sealed
    every = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
    for kind in EntryKind:
        entry = Entry("e_1", kind, NOON, action="add", caller="c", detail={"client": "shop"})
        told = ocsf.event(7, entry.canonical(), json.loads(entry.canonical()), "log.example")
        own = {"user"} if kind in ("officer", "client") else {"actor", "api", "src_endpoint"}
        assert every | own <= told.keys()
        assert told["type_uid"] == 100 * told["class_uid"] + told["activity_id"]
        assert told["metadata"]["version"] == "1.5.0"
        assert told["metadata"]["product"]["name"] == "consent-gateway"
        assert told["time"] == 1_795_348_800_000
    assert ocsf.event(0, b"not ours", {}, "log.example")["unmapped"]["kind"] == "unreadable"
    with gateway_engine.connect() as connection:
        row = connection.execute(sa.select(AUDIT_LOG).where(AUDIT_LOG.c.leaf_index == 5)).one()
    told = ocsf.event(5, bytes(row.entry), {}, "log.example")
    assert told["unmapped"]["leaf_hash"] == bytes(row.leaf_hash).hex()


def test_a_frame_counts_its_bytes() -> None:
    """The length before a message is that of its bytes; names that RFC 5424 does not allow are mended."""
    length, _, rest = frame(Message("", "a kind \u00fc", 0, b"{}"), "\u00fc").partition(b" ")
    assert int(length) == len(rest)
    assert rest.startswith(b"<110>1 - - consent-gateway - akind [meta")


@pytest.mark.parametrize("address", ["siem.example.com", "siem.example.com:0", ":6514", "siem.example.com:99999"])
def test_an_address_that_is_none_is_refused(address: str, tmp_path: Path) -> None:
    """Host and port must both be given."""
    variables = {
        "CONSENT_GATEWAY_STATE_DIR": str(tmp_path),
        "CONSENT_GATEWAY_STORE_URL": f"sqlite:///{tmp_path / 'store.db'}",
        "CONSENT_GATEWAY_LOG_SYSLOG": address,
    }
    with pytest.raises(SettingsRefused, match="LOG_SYSLOG must be"):
        read_settings(variables)
