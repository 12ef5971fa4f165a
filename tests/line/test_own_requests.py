"""People's own requests on their page, over HTTP and on both databases: start, prove, follow, call off, download."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_gateway.customer_desk import SESSION_COOKIE
from consent_gateway.customers.sessions import Assurance, Proved
from consent_gateway.customers.tables import CUSTOMER_SESSIONS
from consent_gateway.database import to_micros
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import PEOPLE
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.requests import By, Request
from consent_gateway.rights.states import DenialGround, State
from consent_gateway.rights.tables import RIGHTS_REQUESTS
from consent_gateway.web.app import create_app
from tests.line.conftest import Line
from tests.line.test_store_erasures import person

OFFICER = By(officer="of_desk")
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
HOME = "/preferences/requests"


@dataclass
class Visitor:
    """A browser, signed in as one person."""

    line: Line
    data_subject: str
    http: FlaskClient
    form: str

    def get(self, path: str) -> str:
        """The page there, which must be one."""
        answer = self.http.get(path, query_string={"lang": "en"})
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_data(as_text=True)

    def send(self, path: str, form: Mapping[str, str], **more: Any) -> TestResponse:
        """A form of ours, unless told otherwise."""
        headers = more.pop("headers", OURS)
        return self.http.post(path, data={"form": self.form, "lang": "en", **form}, headers=headers, **more)

    def start(self, right: str, **more: str) -> str:
        """The id of a request started on the page."""
        answer = self.send(HOME, {"right": right, **more})
        assert answer.status_code == 303, answer.get_data(as_text=True)
        return answer.headers["Location"].partition("?")[0].rpartition("/")[2]


def visitor(line: Line, key: int, assurance: Assurance = Assurance.ACCOUNT, minutes: int = 0) -> Visitor:
    """A browser of this customer's, who signed in so many minutes ago."""
    services, someone = line.services, person(line, key)
    issued = services.customers.sessions.begin(Proved(someone, assurance))
    session = services.customers.sessions.resolve(issued.token)
    assert session is not None
    with services.engine.begin() as connection:
        then = to_micros(services.clock.now() - timedelta(minutes=minutes))
        mine = CUSTOMER_SESSIONS.c.session_id == session.session_id
        connection.execute(sa.update(CUSTOMER_SESSIONS).where(mine).values(signed_in_at=then))
    http = create_app(services).test_client()
    http.set_cookie(SESSION_COOKIE, issued.token, domain="localhost")
    return Visitor(line, someone, http, services.preferences.form_token(session.session_id))


def released(line: Line, request_id: str) -> str:
    """An officer carries an access request out; the secret of the link."""
    rights = line.services.rights
    rights.handling.approve(request_id, OFFICER)
    rights.handling.execute(request_id, OFFICER)
    assert rights.handing is not None
    return rights.handing.release(request_id, OFFICER, ())[0]


def read(line: Line, request_id: str) -> Request:
    """The request as stored."""
    return line.services.rights.handling.read(request_id)


def count(line: Line) -> object:
    """How many requests there are."""
    return line.scalar("SELECT count(*) FROM rights_requests")


def test_from_asking_to_the_files(line: Line) -> None:
    """Asked for, the page tells by when; made and released, it hands the files out; each step is in the log."""
    anna = visitor(line, 31)
    assert "You have asked for nothing yet." in anna.get(HOME)
    request_id = anna.start("access")
    due = line.services.rights.handling.book.dates(read(line, request_id)).respond_by
    assert due is not None
    shown = anna.get(f"{HOME}/{request_id}")
    assert "We are working on it." in shown
    assert f'<time datetime="{due.isoformat()}">' in shown
    assert request_id in anna.get(HOME)
    assert anna.send(f"{HOME}/download", {"request": request_id}).status_code == 404
    line.services.rights.handling.extend(request_id, ExtensionReason.COMPLEXITY, OFFICER)
    shown = anna.get(f"{HOME}/{request_id}")
    assert "It is a lot of work to find everything." in shown
    assert f'<time datetime="{due.isoformat()}">' not in shown
    released(line, request_id)
    assert "Your data is ready" in anna.get(f"{HOME}/{request_id}")
    answer = anna.send(f"{HOME}/download", {"request": request_id})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    files = zipfile.ZipFile(io.BytesIO(answer.data))
    assert {"report.html", "data.json", "data.csv", "schema.json"} <= set(files.namelist())
    told = json.loads(files.read("data.json"))
    email = line.store("SELECT email FROM customers WHERE customer_id = 31")
    assert any(value["value"] == email for one in told["fields"] for value in one["values"])
    assert anna.send(f"{HOME}/download", {"request": request_id}).status_code == 200  # until its time is over


def test_an_older_sign_in_starts_the_time_and_proves_nothing(line: Line) -> None:
    """The request counts from now; until a fresh sign-in says so nothing is done, shown or handed out."""
    old = visitor(line, 32, minutes=16)
    request_id = old.start("access")
    asked = read(line, request_id)
    assert (asked.state, asked.standing.proved) == (State.IDENTITY_PENDING, False)
    assert "Is it you?" in old.get(f"{HOME}/{request_id}")
    refused = old.send(f"{HOME}/prove", {"request": request_id})
    assert refused.status_code == 403
    assert "Please sign in once more" in refused.get_data(as_text=True)
    assert read(line, request_id) == asked
    fresh = visitor(line, 32)
    assert fresh.send(f"{HOME}/prove", {"request": request_id}).status_code == 303
    assert read(line, request_id).state is State.IN_PROGRESS
    secret = released(line, request_id)
    for path, form in ((f"{HOME}/download", {"request": request_id}), ("/preferences/package", {"t": secret})):
        assert old.send(path, form).status_code == 403
    assert fresh.send("/preferences/package", {"t": secret}).status_code == 200


def test_a_mailed_link_proves_as_a_mailed_code_does(line: Line) -> None:
    """Who signed in by a link to their address asks without a further code; the log says by what."""
    linked = visitor(line, 33, Assurance.LINK)
    request_id = linked.start("portability")
    assert read(line, request_id).state is State.IN_PROGRESS
    assert linked.get(f"{HOME}/{request_id}").count("We are working on it.") == 1


def test_a_link_opens_once_and_for_its_person_alone(line: Line) -> None:
    """To open the page uses nothing up; the button works once; nobody else's session makes it work."""
    anna, ben = visitor(line, 34), visitor(line, 35)
    secret = released(line, anna.start("access"))
    assert "Opening this page alone used nothing up." in anna.http.get(f"/preferences/package?t={secret}").get_data(
        as_text=True
    )
    assert ben.send("/preferences/package", {"t": secret}).status_code == 404
    assert anna.send("/preferences/package", {"t": secret}).mimetype == "application/zip"
    assert anna.send("/preferences/package", {"t": secret}).status_code == 404
    for place in range(0, len(secret), 7):
        other = "A" if secret[place] != "A" else "B"
        assert anna.send("/preferences/package", {"t": secret[:place] + other + secret[place + 1 :]}).status_code == 404
    assert anna.send("/preferences/package", {"t": secret[:-1]}).status_code == 409


def test_nobody_sees_or_changes_the_request_of_another(line: Line) -> None:
    """Page, proof, withdrawal and download of another person's request are 404 and leave it as it was."""
    anna, ben = visitor(line, 36), visitor(line, 37)
    request_id = anna.start("access")
    released(line, request_id)
    before = read(line, request_id)
    assert ben.http.get(f"{HOME}/{request_id}").status_code == 404
    for act in ("prove", "withdraw", "download"):
        assert ben.send(f"{HOME}/{act}", {"request": request_id}).status_code == 404
    assert request_id not in ben.get(HOME)
    assert read(line, request_id) == before


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site", "Origin": "null"}, {"Origin": "https://foreign.example"}, {}],
)
def test_a_foreign_form_asks_for_nothing(line: Line, headers: dict[str, str]) -> None:
    """A form of another site or of another session is refused with 403, and no request comes to be."""
    anna, ben = visitor(line, 38), visitor(line, 39)
    before = count(line)
    assert anna.send(HOME, {"right": "delete"}, headers=headers).status_code == 403
    assert anna.send(HOME, {"right": "delete", "form": ben.form}).status_code == 403
    assert count(line) == before


def test_an_erasure_closes_reads_until_it_is_called_off(line: Line) -> None:
    """Asked for by a fresh sign-in nobody reads the person any more; called off, they do again."""
    anna = visitor(line, 40)

    def pending() -> bool:
        return line.services.choices.state(PersonRef(data_subject=anna.data_subject)).facts.erasure_pending

    request_id = anna.start("delete")
    assert pending()
    assert "Call this off" in anna.get(f"{HOME}/{request_id}")
    assert anna.send(f"{HOME}/withdraw", {"request": request_id}).status_code == 303
    assert not pending()
    assert "You called it off." in anna.get(f"{HOME}/{request_id}")
    assert anna.send(f"{HOME}/withdraw", {"request": request_id}).status_code == 409


def test_a_correction_says_what_is_wrong(line: Line) -> None:
    """Without words, or with too many, nothing is asked for and what was written is kept; officers read the words."""
    anna = visitor(line, 41)
    before = count(line)
    for text in ("", "   ", "x" * 2001):
        answer = anna.send(HOME, {"right": "correct", "text": text})
        assert answer.status_code == 400
        assert "Say what is wrong" in answer.get_data(as_text=True)
        assert text in answer.get_data(as_text=True)
    assert count(line) == before
    asked = read(line, anna.start("correct", text="My street is Elm <Street> 2"))
    assert line.services.rights.handling.details(asked).text == "My street is Elm <Street> 2"


def test_what_was_asked_before_is_joined(line: Line) -> None:
    """Asked twice there is one request, whose page both lead to."""
    anna = visitor(line, 42)
    assert anna.start("access") == anna.start("access")
    assert anna.get(HOME).count("/preferences/requests/rq_") == 1


@pytest.mark.parametrize("right", ["", "opt_out_admt", "breach_art33", "admin"])
def test_what_the_page_does_not_offer_is_refused(line: Line, right: str) -> None:
    """An unknown right, and one that the law of the residence does not give, is 400 and comes to nothing."""
    anna = visitor(line, 43)
    before = count(line)
    assert anna.send(HOME, {"right": right}).status_code == 400
    assert count(line) == before


def test_a_refusal_tells_its_ground_and_where_to_complain(line: Line) -> None:
    """Every ground has its words, and the way to the authority and to court stands below."""
    anna = visitor(line, 44)
    request_id = anna.start("access")
    line.services.rights.handling.deny(request_id, DenialGround.EXCESSIVE, OFFICER)
    shown = anna.get(f"{HOME}/{request_id}")
    assert "again and again in a short time" in shown
    assert "go to court" in shown


def test_every_state_ground_and_right_has_its_words(line: Line) -> None:
    """In each language the page can tell whatever a request can come to."""
    for words in line.services.preferences.words.values():
        assert all(words(f"requests.states.{state.value}") for state in State)
        assert all(words(f"requests.grounds.{ground.value}") for ground in DenialGround)
        assert all(words(f"requests.{reason.value}") for reason in ExtensionReason)
        for right in line.services.rights.laws.rights_in("DE", line.services.clock.now()):
            assert right == "breach_art33" or words(f"requests.names.{right}")


def test_who_lives_nowhere_known_is_told_whom_to_write_to(line: Line) -> None:
    """Without a residence no right is offered, and the address stands there instead."""
    anna = visitor(line, 45)
    with line.services.engine.begin() as connection:
        mine = PEOPLE.c.data_subject == anna.data_subject
        connection.execute(sa.update(PEOPLE).where(mine).values(jurisdiction=None))
    shown = anna.get(HOME)
    assert "We do not know where you live" in shown
    assert 'name="right"' not in shown
    assert anna.send(HOME, {"right": "access"}).status_code == 400
    with line.services.engine.connect() as connection:
        asked = sa.select(sa.func.count()).where(RIGHTS_REQUESTS.c.data_subject == anna.data_subject)
        assert connection.execute(asked).scalar_one() == 0
