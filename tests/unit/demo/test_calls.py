"""One call as data: what is sent and what one may copy say the same, and no secret stands on the screen."""

import json
import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from consent_gateway.demo.calls import Answer, Call, NoAnswer, send, variable


class _Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        document = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body}
        self.send_response(201)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"plain words")

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    """The base URL of a real server that answers with what it was sent."""
    server = HTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


LOOKUP = Call("POST", "/v1/x", {"name": "O'Hara ü"}, token_of="call-centre", headers={"Sec-GPC": "1"})


def test_a_call_sends_its_body_its_token_and_its_headers(echo: str) -> None:
    """The server gets the JSON body, the token of the named client and the extra headers."""
    answer = send(echo, LOOKUP, {"call-centre": "gw_at_abc"})
    assert answer.status == 201
    assert answer.at("headers", "authorization") == "Bearer gw_at_abc"
    assert answer.at("headers", "content-type") == "application/json"
    assert answer.at("headers", "sec-gpc") == "1"
    assert json.loads(str(answer.at("body"))) == {"name": "O'Hara ü"}


def test_a_form_goes_with_the_client_s_own_credential(echo: str) -> None:
    """A token request is a form with HTTP Basic."""
    call = Call("POST", "/oauth/token", form={"grant_type": "client_credentials"}, basic=("till", "secret"))
    answer = send(echo, call, {})
    assert answer.at("body") == "grant_type=client_credentials"
    assert answer.at("headers", "authorization") == "Basic dGlsbDpzZWNyZXQ="


def test_an_answer_that_is_no_json_is_kept_as_text(echo: str) -> None:
    """Text stays text, and a path into it leads nowhere."""
    answer = send(echo, Call("GET", "/healthz"), {})
    assert answer.body == "plain words"
    assert answer.at("anything") is None


def test_nobody_listening_is_a_named_error() -> None:
    """A refused connection is `NoAnswer`, not a traceback."""
    with pytest.raises(NoAnswer):
        send("http://127.0.0.1:9", Call("GET", "/"), {})


def test_the_curl_line_says_what_is_sent_and_shows_no_secret() -> None:
    """A shell would take the line apart into the same URL, headers and body; secrets are variables."""
    line = LOOKUP.curl("http://127.0.0.1:8080")
    words = shlex.split(line)
    assert words[:3] == ["curl", "-s", "http://127.0.0.1:8080/v1/x"]
    assert "Authorization: Bearer $CALL_CENTRE" in words
    assert "Sec-GPC: 1" in words
    assert json.loads(words[words.index("-d") + 1]) == LOOKUP.body
    token = Call("POST", "/oauth/token", form={"grant_type": "client_credentials"}, basic=("till", "s3cret"))
    assert "s3cret" not in token.curl("http://127.0.0.1:8080")
    assert "-X PATCH" in Call("PATCH", "/v1/x", {}).curl("http://127.0.0.1:8080")


def test_a_path_into_an_answer_ends_quietly() -> None:
    """A key that is missing half-way gives None."""
    answer = Answer(200, {}, {"fields": {"email": {"effect": "allow"}}})
    assert answer.at("fields", "email", "effect") == "allow"
    assert answer.at("fields", "phone", "effect") is None
    assert variable("ad-platform") == "AD_PLATFORM"
