"""Fetching from an issuer: what is never called, never believed and never waited for; and keys through an outage."""

import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from consent_gateway.callers.fetching import Fetcher
from consent_gateway.callers.issuer_keys import BETWEEN_FETCHES, KEEP_AT_MOST, REFRESH_AFTER, IssuerKeys
from consent_gateway.callers.issuers import Issuer, is_public
from consent_gateway.errors import IssuerUnavailable

LOCAL = frozenset({"127.0.0.1", "localhost", "idp.internal"})
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server on this machine that answers so; its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def saying(body: bytes, status: int = 200, **headers: str) -> Answer:
    """An answer with that body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def fetcher(**different: Any) -> Fetcher:
    """A fetcher as it is deployed, but for what differs."""
    return Fetcher(ssl.create_default_context(), **different)


def test_a_plain_answer_is_read() -> None:
    """200 with JSON is what is wanted."""
    with serving(saying(b'{"keys": []}')) as url:
        assert fetcher().json(url, LOCAL) == {"keys": []}
        assert fetcher().json(url.replace("127.0.0.1", "localhost"), LOCAL) == {"keys": []}


@pytest.mark.parametrize(
    "answer",
    [
        saying(b"{}", 302, Location="http://127.0.0.1/keys"),
        saying(b"{}", 500),
        saying(b"{}", 204),
        saying(b"<html>"),
        saying(b""),
        saying(b"[" * 100_000),
        saying(b"{}" + b" " * 300_000),
        saying(b"{}", Content_Encoding="gzip"),
        saying(b"\xff\xfe{"),
    ],
    ids=["redirect", "500", "204", "html", "empty", "deep", "long", "encoded", "no text"],
)
def test_any_other_answer_is_refused(answer: Answer) -> None:
    """A redirect is not followed, and what is too long, deep, encoded or no JSON is not believed."""
    with serving(answer) as url, pytest.raises(IssuerUnavailable):
        fetcher().json(url, LOCAL)


def test_a_server_that_never_ends_its_answer_is_cut_off() -> None:
    """Byte after byte inside every socket timeout, the whole still ends: the server sees the connection go."""
    cut = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" ")
                handler.wfile.flush()
                if cut.wait(0.01):
                    return
        except OSError:
            cut.set()

    with serving(drip) as url:
        with pytest.raises(IssuerUnavailable):
            fetcher(seconds=0.3, most_bytes=10_000_000).json(url, LOCAL)
        assert cut.wait(10)


def test_nobody_there_is_told_as_such() -> None:
    """A port nobody listens on and a name nobody has are both the issuer being away."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(IssuerUnavailable):
            fetcher().json(f"http://127.0.0.1:{probe.getsockname()[1]}", LOCAL)

    def nobody(_host: str, _port: int) -> tuple[str, ...]:
        raise socket.gaierror

    for resolve in (nobody, lambda _host, _port: ()):
        with pytest.raises(IssuerUnavailable):
            fetcher(resolve=resolve).json("https://login.example/k", frozenset())


PRIVATE = (
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - what is refused
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "not an address",
)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_never_called(address: str) -> None:
    """A name of the issuer that resolves into a private net is refused before anything is sent, in every writing."""
    assert not is_public(address)
    asked = []

    def resolve(host: str, _port: int) -> tuple[str, ...]:
        asked.append(host)
        return ("8.8.8.8", address)  # one good address does not excuse the other

    with pytest.raises(IssuerUnavailable, match="private"):
        fetcher(resolve=resolve).json("https://login.example/k", frozenset())
    assert asked == ["login.example"]


@given(st.ip_addresses(v=4).filter(lambda ip: not ip.is_global))
def test_no_wrapping_makes_an_address_public(address: Any) -> None:
    """Whatever IPv4 address is not public is not public inside IPv6 either."""
    assert not is_public(str(address))
    assert not is_public(f"::ffff:{address}")
    assert not is_public(f"64:ff9b::{address}")


def test_public_addresses_are_public() -> None:
    """The check does not refuse everything."""
    assert is_public("8.8.8.8")
    assert is_public("2001:4860:4860::8888")


def test_a_name_that_changes_its_address_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the connection goes to the very address that was judged, and the name is resolved once."""
    answers = iter([("8.8.8.8",), ("127.0.0.1",)])
    reached = []

    def connect(address: tuple[str, int], **_: Any) -> socket.socket:
        reached.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(IssuerUnavailable):
        fetcher(resolve=lambda _host, _port: next(answers)).json("https://login.example/k", frozenset())
    assert reached == [("8.8.8.8", 443)]
    assert next(answers) == ("127.0.0.1",)


def test_a_private_host_is_called_only_where_it_is_listed() -> None:
    """The list of private hosts lets that very host through; a loopback name that leads elsewhere is refused."""
    with serving(saying(b"{}")) as url:
        with pytest.raises(IssuerUnavailable, match="private_hosts"):
            fetcher().json(url, frozenset())
        assert fetcher().json(url, LOCAL) == {}
    with pytest.raises(IssuerUnavailable):
        fetcher(resolve=lambda _h, _p: ("192.0.2.1",)).json("http://localhost/k", LOCAL)


@pytest.mark.parametrize(
    "url", ["http://login.example/k", "file:///etc/passwd", "ftp://127.0.0.1/", "https://a@login.example/", "/k", ""]
)
def test_only_https_is_called(url: str) -> None:
    """Plain HTTP leaves this machine never; other schemes are none."""
    called = []
    with pytest.raises(IssuerUnavailable, match="may not be called"):
        fetcher(resolve=lambda *where: called.append(where) or ()).json(url, LOCAL)
    assert called == []


def test_a_certificate_nobody_vouches_for_is_refused() -> None:
    """TLS is verified: a server that does not speak it, or under no known authority, is not believed."""
    with serving(saying(b"{}")) as url, pytest.raises(IssuerUnavailable):
        fetcher().json(url.replace("http:", "https:"), LOCAL)


# Keys through time


class Provider:
    """An issuer's key set as a fetcher sees it: counts fetches, and may be away."""

    def __init__(self) -> None:
        self.kids = ["a"]
        self.fetches = 0
        self.answers: Any = None
        self.gate: threading.Event | None = None
        self.asked = threading.Event()
        key = ECKey.generate_key("P-256").as_dict(private=False)
        self._key = {**key, "alg": "ES256"}

    def json(self, url: str, _private: frozenset[str], **_: Any) -> Any:
        """As `Fetcher.json`."""
        self.fetches += 1
        if self.gate is not None:
            self.asked.set()
            self.gate.wait(10)
        if isinstance(self.answers, Exception):
            raise self.answers
        if url.endswith("/discovery"):
            return self.answers
        return {"keys": [{**self._key, "kid": kid} for kid in self.kids]}


def issuer(**different: Any) -> Issuer:
    """An issuer with a JWKS URI."""
    named: dict[str, Any] = {
        "issuer": "https://login.example",
        "audience": "g",
        "algorithms": ("ES256",),
        "jwks_uri": "https://login.example/k",
        "discovery": None,
        "client_claim": "client_id",
        "acr": (),
        "longest_life": timedelta(hours=1),
        "hosts": frozenset({"login.example"}),
        "private_hosts": frozenset(),
        "introspection": None,
        **different,
    }
    return Issuer(**named)


@pytest.fixture
def away() -> Provider:
    """The provider."""
    return Provider()


def keys_of(provider: Provider, clock: Any, **different: Any) -> IssuerKeys:
    """Keys fetched from the provider."""
    return IssuerKeys(issuer(**different), provider, clock)  # type: ignore[arg-type]


def test_unknown_kids_make_one_fetch_in_half_a_minute(away: Provider, clock: Any) -> None:
    """A flood of unknown ids costs the issuer one request per half minute; a known one costs none."""
    keys = keys_of(away, clock)
    assert keys.key("a") is not None
    for n in range(50):
        assert keys.key(f"unknown-{n}") is None
    assert away.fetches == 1
    clock.moment += BETWEEN_FETCHES
    away.kids = ["a", "b"]
    assert keys.key("b") is not None
    assert keys.key("a") is not None
    assert away.fetches == 2


def test_one_thread_fetches_for_all(away: Provider, clock: Any) -> None:
    """Eight threads that need the first key set at once make one request, and each gets the key."""
    keys = keys_of(away, clock)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keys.key("a"), range(8)))
    assert None not in found
    assert away.fetches == 1


def test_a_withdrawn_key_goes_and_an_outage_is_bridged_for_an_hour(away: Provider, clock: Any) -> None:
    """Keys are fetched anew after five minutes; if that fails the old ones serve, but not for ever."""
    keys = keys_of(away, clock)
    assert keys.key("a") is not None
    away.kids = ["b"]
    clock.moment += REFRESH_AFTER
    assert keys.key("a") is None
    away.answers = IssuerUnavailable("away")
    clock.moment += KEEP_AT_MOST - timedelta(seconds=1)
    assert keys.key("b") is not None
    clock.moment += timedelta(seconds=1)
    with pytest.raises(IssuerUnavailable):
        keys.key("b")
    away.answers = None
    clock.moment += BETWEEN_FETCHES
    assert keys.key("b") is not None


def test_failed_fetches_are_paced_too(away: Provider, clock: Any) -> None:
    """While the issuer is away it is asked once in half a minute, and every token is 503, never taken."""
    away.answers = IssuerUnavailable("away")
    keys = keys_of(away, clock)
    for _ in range(10):
        with pytest.raises(IssuerUnavailable):
            keys.key("a")
    assert away.fetches == 1


def test_each_failed_fetch_is_logged_once_with_its_mend(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An issuer in a private net that is not listed is named in the log, with the setting that mends it."""
    here = issuer(jwks_uri="https://login.example/k")
    keys = IssuerKeys(here, fetcher(resolve=lambda _host, _port: ("10.0.0.1",)), clock)
    for moved in (timedelta(0), timedelta(0), BETWEEN_FETCHES):
        clock.moment += moved
        with caplog.at_level(logging.WARNING), pytest.raises(IssuerUnavailable):
            keys.key("a-kid-of-the-caller")
    assert len(caplog.messages) == 2
    for line in caplog.messages:
        assert "https://login.example" in line
        assert "`private_hosts`" in line
        assert "a-kid-of-the-caller" not in line


def test_few_threads_wait_for_the_keys(away: Provider, clock: Any) -> None:
    """While one call fetches and eight wait, the tenth is told to come back; who has its key is not held up."""
    keys = keys_of(away, clock)
    assert keys.key("a") is not None
    clock.moment += BETWEEN_FETCHES
    away.gate = threading.Event()
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(keys.key, f"unknown-{n}") for n in range(20)]
        try:
            assert away.asked.wait(10)
            refused = [one.exception() for one in islice(as_completed(asked, timeout=10), 11)]
            assert [type(one) for one in refused] == [IssuerUnavailable] * 11
            assert "too many" in str(refused[0])
            assert keys.key("a") is not None
        finally:
            away.gate.set()
        assert [one.result(10) for one in asked if one.exception(10) is None] == [None] * 9
    assert away.fetches == 2
    assert keys.key("unknown-20") is None


def test_who_has_its_key_does_not_wait_for_a_refresh(away: Provider, clock: Any) -> None:
    """While one thread refreshes, another whose key is known goes on with it."""
    keys = keys_of(away, clock)
    assert keys.key("a") is not None
    clock.moment += REFRESH_AFTER
    away.gate = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(keys.key, "a")
        assert away.asked.wait(10)
        try:
            assert pool.submit(keys.key, "a").result(5) is not None
        finally:
            away.gate.set()
        assert slow.result(10) is not None


def test_a_clock_set_back_does_not_stop_fetching(away: Provider, clock: Any) -> None:
    """After the clock went back by a day an unknown kid still makes a fetch."""
    keys = keys_of(away, clock)
    assert keys.key("a") is not None
    clock.moment -= timedelta(days=1)
    away.kids = ["a", "b"]
    assert keys.key("b") is not None


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://other.example", "jwks_uri": "https://login.example/k"},
        {"issuer": "https://login.example", "jwks_uri": "https://evil.example/k"},
        {"issuer": "https://login.example"},
        {"jwks_uri": "https://login.example/k"},
        {"issuer": "https://login.example", "jwks_uri": 7},
        [],
        None,
    ],
)
def test_discovery_is_believed_for_its_own_issuer_and_hosts_only(away: Provider, clock: Any, told: Any) -> None:
    """A document of another issuer, or one that sends us elsewhere for the keys, gives no keys."""
    away.answers = told
    keys = keys_of(away, clock, jwks_uri=None, discovery="https://login.example/discovery")
    with pytest.raises(IssuerUnavailable):
        keys.key("a")
    away.answers = {"issuer": "https://login.example", "jwks_uri": "https://login.example/k"}
    clock.moment += BETWEEN_FETCHES
    assert keys.key("a") is not None


@pytest.mark.parametrize(
    "document",
    [
        {"keys": [ECKey.generate_key("P-256").as_dict(private=True)]},
        {"keys": [{"kty": "EC"}] * 101},
        {"keys": "none"},
        [],
        json.loads('{"keys": [{"kty":"EC","kid":"a"}, 7]}'),
    ],
    ids=["private", "many", "no list", "no object", "odd"],
)
def test_a_key_set_that_cannot_be_trusted_gives_no_key(clock: Any, document: Any) -> None:
    """A published private key or an odd document verifies nothing."""

    class Odd(Provider):
        def json(self, _url: str, _private: frozenset[str], **_: Any) -> Any:
            return document

    keys = keys_of(Odd(), clock)
    try:
        assert keys.key("a") is None
    except IssuerUnavailable:
        assert not (isinstance(document, dict) and document["keys"][-1:] == [7])


def test_symmetric_and_unfit_keys_are_passed_over(clock: Any) -> None:
    """An issuer publishes for others too: a secret, a key for encryption and one of another family verify nothing."""
    good = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "good"}
    document = {
        "keys": [
            {"kty": "oct", "k": "AAAA", "kid": "secret"},
            {**good, "kid": "enc", "use": "enc"},
            {**good, "kid": "other", "alg": "ES384"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "small"},
            {**good, "kid": None},
            good,
        ]
    }

    class Mixed(Provider):
        def json(self, _url: str, _private: frozenset[str], **_: Any) -> Any:
            return document

    keys = keys_of(Mixed(), clock)
    assert keys.key("good") is not None
    assert [kid for kid in ("secret", "enc", "other", "small") if keys.key(kid) is not None] == []
