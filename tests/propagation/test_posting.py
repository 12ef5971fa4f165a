"""Posts to webhooks: which addresses are refused, when, and what an answer must be to count."""

import socket
import ssl
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

import pytest

from consent_gateway.errors import InputRefused, SettingsRefused, Undelivered
from consent_gateway.propagation.addresses import AllowedHosts, read_hosts
from consent_gateway.propagation.posting import Poster
from tests.propagation.world import receiving

HOSTS = AllowedHosts(
    frozenset({"hooks.example.com", "*.example.org", "127.0.0.1", "10.0.0.7"}), frozenset({"127.0.0.1"})
)


def poster(*found: str, seconds: float = 2.0) -> Poster:
    """A poster whose resolver answers these addresses, or the real one."""
    made = Poster(ssl.create_default_context(), HOSTS, seconds=seconds)
    return replace(made, resolve=lambda _host, _port: found) if found else made


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "127.0.0.1",
        "10.0.0.7",
        "172.16.3.4",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.7",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:7",
        "2002:7f00:1::",
        "not an address",
    ],
)
def test_a_host_that_leads_into_a_private_net_is_refused_at_connect(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metadata services, loopback, private, link-local and IPv4 wrapped in IPv6: no connection is ever opened, also
    where a public address stands beside it.
    """
    opened: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *given, **_more: opened.append(given))
    for found in ((address,), ("93.184.216.34", address)):
        with pytest.raises(Undelivered) as refused:
            poster(*found).post("https://hooks.example.com/x", b"{}", {})
        assert refused.value.cause == "address not public"
    assert opened == []


def test_a_name_that_changes_between_check_and_connect_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the address that was judged: the name is resolved once, and not by the connecting."""
    answers = iter([("93.184.216.34",), ("127.0.0.1",)])
    opened: list[object] = []

    def connect(address: object, **_more: object) -> socket.socket:
        opened.append(address)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", connect)
    changing = replace(poster("x"), resolve=lambda _host, _port: next(answers))
    with pytest.raises(Undelivered):
        changing.post("https://hooks.example.com/x", b"{}", {})
    assert opened == [("93.184.216.34", 443)]
    with pytest.raises(Undelivered) as second:  # and at the next attempt it is judged anew
        changing.post("https://hooks.example.com/x", b"{}", {})
    assert second.value.cause == "address not public"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x",
        "https://evil.example.net/x",
        "https://example.org/x",
        "https://hooks.example.com@127.0.0.1/x",
        "https://user:pass@hooks.example.com/x",
        "https://hooks.example.com\\@127.0.0.1/x",
        "https://127.0.0.1#hooks.example.com/",
        "https://hooks.example.com.evil.net/x",
        "https://hooks.example.com%2f@evil.net/",
        "https://hooks.example.com:99999/x",
        "https://HOOKS.example.com/x",
        "https://hooks.example.com./x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://169.254.169.254/latest/meta-data",
        "ftp://hooks.example.com/x",
        "file:///etc/passwd",
        "https://hooks.example.com/x\r\nHost: evil",
        " https://hooks.example.com/x",
        "https://hooks.example.com/" + "x" * 500,
        "",
    ],
)
def test_an_address_that_is_not_plainly_an_allowed_host_is_refused(url: str) -> None:
    """No user part, escape, other host, literal address or scheme passes; neither at registration nor at an attempt."""
    with pytest.raises(InputRefused) as refused:
        HOSTS.refuse(url)
    assert "evil" not in str(refused.value)
    with pytest.raises(Undelivered) as undelivered:
        poster("93.184.216.34").post(url, b"{}", {})
    assert undelivered.value.cause == "address refused"


@pytest.mark.parametrize(
    "url", ["https://hooks.example.com/x", "https://a.b.example.org:8443/x?y=1", "http://127.0.0.1:9/x"]
)
def test_an_allowed_host_passes(url: str) -> None:
    """The hosts of the settings, below a wildcard, and http on loopback where that is meant."""
    assert HOSTS.fault(url) is None


@pytest.mark.parametrize(
    ("hosts", "private"),
    [("http://a.example", None), ("a.example/x", None), ("*", None), ("*.com", None), ("a.example", "b.example")],
)
def test_settings_that_are_no_hosts_are_refused(hosts: str, private: str | None) -> None:
    """A URL, a path, everything, or a private host that is not allowed ends the start."""
    with pytest.raises(SettingsRefused):
        read_hosts(hosts, private)


def test_a_redirect_to_loopback_is_not_followed() -> None:
    """A 307 is a failure; the place it names gets no request."""
    with receiving() as victim:

        def redirect(handler: BaseHTTPRequestHandler, _number: int) -> None:
            handler.send_response(307)
            handler.send_header("Location", victim.url)
            handler.end_headers()

        with receiving(redirect) as receiver:
            with pytest.raises(Undelivered) as refused:
                poster().post(receiver.url, b"{}", {})
            assert refused.value.cause == "redirect 307"
            assert len(receiver.requests) == 1
        assert victim.requests == []


def _half(handler: BaseHTTPRequestHandler, _number: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def _nonsense(handler: BaseHTTPRequestHandler, _number: int) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    handler.connection.shutdown(socket.SHUT_RDWR)


def _long(handler: BaseHTTPRequestHandler, _number: int) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(1000):
            handler.wfile.write(b"x" * 10_000)
    except OSError:
        return


def _silent(handler: BaseHTTPRequestHandler, _number: int) -> None:
    handler.rfile.read(1)  # until the other side gives up


def _drip(handler: BaseHTTPRequestHandler, _number: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "5")
    handler.end_headers()
    handler.wfile.write(b"x")
    handler.wfile.flush()
    handler.rfile.read(1)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (_half, "no whole answer"),
        (_nonsense, "no whole answer"),
        (_long, "no whole answer"),
        (_silent, "no answer in time"),
        (_drip, "no answer in time"),
    ],
)
def test_an_answer_that_is_no_whole_2xx_in_time_counts_as_none(answer: object, cause: str) -> None:
    """Half an answer, another protocol, an endless body, silence and dripping are failures, within the time."""
    with receiving(answer) as receiver, pytest.raises(Undelivered) as refused:  # type: ignore[arg-type]
        poster(seconds=0.5).post(receiver.url, b"{}", {})
    assert refused.value.cause == cause


@pytest.mark.parametrize(("status", "gone"), [(400, False), (410, True), (429, False), (503, False)])
def test_other_statuses_are_failures_with_what_they_ask(status: int, gone: bool) -> None:
    """The cause names the status and nothing of the answer; `Retry-After` is read, and 410 ends it."""

    def answer(handler: BaseHTTPRequestHandler, _number: int) -> None:
        handler.send_response(status)
        handler.send_header("Retry-After", "30")
        handler.end_headers()
        handler.wfile.write(b"secret")

    with receiving(answer) as receiver, pytest.raises(Undelivered) as refused:
        poster().post(receiver.url, b"{}", {})
    assert (refused.value.cause, refused.value.retry_after, refused.value.is_gone) == (f"status {status}", 30, gone)


def test_nobody_listening_and_a_wrong_certificate_are_failures() -> None:
    """A closed port and a server whose certificate is not the host's are told as what they are."""
    with receiving() as receiver:
        url = receiver.url
        with pytest.raises(Undelivered) as plain:
            poster().post(url.replace("http:", "https:"), b"{}", {})
        assert plain.value.cause == "tls failed"
    with pytest.raises(Undelivered) as closed:
        poster().post(url, b"{}", {})
    assert closed.value.cause == "no connection"
