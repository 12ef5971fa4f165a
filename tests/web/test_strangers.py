"""Requests of people who are not signed in, over HTTP: taken alike whoever is known, proved by a mailed code alone."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_gateway.customer_desk import SESSION_COOKIE
from consent_gateway.customers.links import NewUnsubscribeLink
from consent_gateway.customers.sessions import Assurance, Proved
from consent_gateway.errors import NotFound
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.tables import IDENTIFIERS, SHARED_IDENTIFIERS, SUPPRESSIONS
from consent_gateway.rights.requests import By
from consent_gateway.rights.strangers import ASKED_FOR
from consent_gateway.rights.tables import RIGHTS_REQUESTS
from consent_gateway.vocabulary import EventKind, Identifier
from tests.conftest import places
from tests.web.mailbox import ISSUER, OURS, Mailbox, mailbox

OFFICER = By(officer="ofc_1", channel="privacy_desk")
NOBODY = "nobody.at.all@example.com"
CODE = re.compile(r"\b[0-9]{8}\b")
_NETWORKS = itertools.count(1)


@dataclass
class Visitor:
    """A browser in which nobody is signed in, in a network of its own."""

    http: FlaskClient
    network: str

    def get(self, path: str) -> TestResponse:
        """A page, in English."""
        return self.http.get(path, base_url=ISSUER, headers={"Accept-Language": "en"})

    def send(self, path: str, headers: Mapping[str, str] = OURS, **form: Any) -> TestResponse:
        """A form of ours, unless told otherwise."""
        sender = {"REMOTE_ADDR": self.network}
        return self.http.post(path, data={"lang": "en", **form}, base_url=ISSUER, headers=headers, environ_base=sender)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    """An installation whose clock stands still, once over SQLite, once over PostgreSQL."""
    folder = tmp_path_factory.mktemp("strangers")
    with places(request, folder) as urls, mailbox(folder, urls) as opened:
        yield opened


def passer_by(box: Mailbox) -> Visitor:
    """A fresh browser."""
    return Visitor(box.application.test_client(), f"2001:db8:{next(_NETWORKS):x}::1")


def count(box: Mailbox) -> int:
    """How many requests there are."""
    with box.services.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(RIGHTS_REQUESTS)).scalar_one())


def file(box: Mailbox, **form: str) -> TestResponse:
    """Send the public form from its own page."""
    given = {"right": "access", "email": NOBODY, "place": "DE", "text": "", **form}
    return passer_by(box).send("/privacy-request", **given)


def ticket_of(answer: TestResponse) -> str:
    """The ticket in the address that the browser is sent to."""
    return str(re.search(r"[?&]r=([^&]+)", answer.headers["Location"])[1])  # type: ignore[index]


@pytest.mark.parametrize(
    ("language", "officer"), [("en", "Data protection officer"), ("de", "Datenschutzbeauftragter")]
)
def test_the_form_says_who_answers_for_the_data(box: Mailbox, language: str, officer: str) -> None:
    """Where data is asked for stand the controller and its officer with their contacts (GDPR Art. 13(1)(a), (b))."""
    shown = passer_by(box).get(f"/privacy-request?lang={language}").get_data(as_text=True)
    told = shown[shown.index('<section aria-labelledby="responsible">') :]
    assert "Morgenrot Coffee GmbH" in told
    assert "mailto:dpo@morgenrot.example" in told
    assert f"<dt>{officer}</dt>" in told
    assert ("Vereinigtes Königreich" if language == "de" else "United Kingdom") in told


def test_who_has_no_account_asks_by_mail_and_proves_by_the_code(box: Mailbox) -> None:
    """The code from the mailbox proves the request, once, and gives the address that tells how far it is."""
    person = box.newcomer("DE", "walk.in@example.com")
    out = passer_by(box)
    filed = ticket_of(file(box, email="walk.in@example.com"))
    number = filed.partition(".")[0]
    box.newest()
    code = next(filter(None, (CODE.search(each.text) for each in reversed(box.mailer.sent))))
    page = f"/privacy-request/code?r={filed}"
    assert "mail with a code is on its way" in out.get(page).get_data(as_text=True)
    assert out.get(f"/privacy-request/status?r={filed}").status_code == 404  # filing alone tells nothing of it
    wrong = out.send("/privacy-request/code", r=filed, code="00000000")
    assert (wrong.status_code, "This is not the code" in wrong.get_data(as_text=True)) == (400, True)
    right = out.send("/privacy-request/code", r=filed, code=f" {code[0][:4]} {code[0][4:]} ")
    assert right.status_code == 303
    status = out.get(f"/privacy-request/status?r={ticket_of(right)}").get_data(as_text=True)
    assert "We are working on it." in status
    assert "December 22, 2026, at the latest" in status
    request = box.services.rights.handling.read(number)
    assert (request.data_subject, request.standing.proved) == (person, True)
    assert out.send("/privacy-request/code", r=filed, code=code[0]).status_code == 400


def forget(box: Mailbox, email: str) -> None:
    """Put an address on the list of erased people's."""
    tag = box.services.suppressions._tags.of(Identifier("email", email))  # type: ignore[attr-defined]
    with box.services.engine.begin() as connection:
        connection.execute(sa.insert(SUPPRESSIONS).values(tag=tag, kind="email"))


def share(box: Mailbox, person: str) -> None:
    """Let another person have the address of a newcomer, too."""
    other = box.newcomer("DE", f"{person}@example.org")
    with box.services.engine.begin() as connection:
        theirs = IDENTIFIERS.c.data_subject == person
        row = connection.execute(sa.select(IDENTIFIERS).where(theirs)).one()
        connection.execute(sa.update(IDENTIFIERS).where(theirs).values(shared=True))
        index = {"kind": row.kind, "blind_index": row.blind_index}
        connection.execute(sa.insert(SHARED_IDENTIFIERS), [{**index, "data_subject": one} for one in (person, other)])


@pytest.mark.parametrize("right", ["access", "delete", "correct", "restrict", "object"])
def test_nobody_learns_by_a_request_whether_an_address_is_known(box: Mailbox, right: str) -> None:
    """Known, unknown, shared or erased before: the same answer at every step, though the person proves it meanwhile."""
    addresses = {
        "known": f"known.{right}@example.com",
        "unknown": f"unknown.{right}@example.com",
        "shared": f"shared.{right}@example.com",
        "erased": f"erased.{right}@example.com",
    }
    box.newcomer("DE", addresses["known"])
    share(box, box.newcomer("DE", addresses["shared"]))
    forget(box, addresses["erased"])
    told = {}
    for who, email in addresses.items():
        answer = file(box, right=right, email=email, text="something")
        ticket = ticket_of(answer)
        out, steps = passer_by(box), []
        path = answer.headers["Location"].partition("?")[0]
        steps.append(out.get(f"{path}?r={ticket}"))
        if path.endswith("code"):
            if who == "known":  # the person themself says so, to an officer
                box.services.rights.proofs.by_officer(ticket.partition(".")[0], "seen-1", None, OFFICER)
            steps.append(out.send(path, r=ticket, code="12345678"))
            steps += [out.send(path, r=ticket, act="again") for _ in range(3)]
            steps.append(out.send(path, r=ticket, act="again"))
            steps.append(out.send(path, r=ticket, code="12345678"))
        seen = [(each.status_code, each.get_data(as_text=True), each.headers.get("Location")) for each in steps]
        told[who] = (answer.status_code, path, re.sub(r"rq_[0-9a-z]+(\.[0-9a-f]{64})?", "rq", str(seen)))
    assert len(set(told.values())) == 1, told


def test_a_public_form_tells_every_fault_and_keeps_the_rest(box: Mailbox) -> None:
    """What is missing is named at its field, what was written is kept, nothing is recorded, and no mail is queued."""
    before = count(box)
    empty = file(box, right="", email="nonsense", place="XX")
    text = empty.get_data(as_text=True)
    assert empty.status_code == 400
    assert text.count("Error: ") == 4  # with the title
    assert 'value="nonsense"' in text
    elsewhere = file(box, right="restrict", place="JP")
    assert "The law of that place does not give this right" in elsewhere.get_data(as_text=True)
    assert "Write what it is about." in file(box, right="correct").get_data(as_text=True)
    out = passer_by(box)
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://foreign.example"}
    form = {"right": "access", "email": NOBODY, "place": "DE"}
    assert out.send("/privacy-request", foreign, **form).status_code == 403
    assert count(box) == before


def test_mails_that_anybody_can_cause_are_limited(box: Mailbox) -> None:
    """An address is mailed no more often than a sign-in link may be asked for, whoever has it."""
    answers = [file(box, email="often@example.com") for _ in range(7)]
    assert [each.status_code for each in answers] == [303] * 5 + [429] * 2
    assert "too often in this hour" in answers[-1].get_data(as_text=True)


def test_a_ticket_changed_in_any_byte_is_none(box: Mailbox) -> None:
    """Neither its number nor its digest can be changed, and one kind of ticket is not the other."""
    ticket = ticket_of(file(box, email="ticket@example.com"))
    strangers = box.services.rights.strangers
    assert strangers is not None
    changed = [f"{ticket[:at]}{'0' if ticket[at] != '0' else '1'}{ticket[at + 1 :]}" for at in range(len(ticket))]
    for wrong in (*changed, ticket[:-1], f"{ticket}0", "", ".", "é.é"):
        with pytest.raises(NotFound):
            strangers.filed(wrong)
    with pytest.raises(NotFound):
        strangers.look(ticket)
    assert strangers.filed(ticket) == ticket.partition(".")[0]


def test_every_right_that_is_offered_has_its_terms_and_words(box: Mailbox) -> None:
    """What the pages offer, the policy has terms for, and each language has its name and text."""
    for right in ASKED_FOR:
        assert box.services.rights.proofs.needed(right) is not None
        for words in box.services.preferences.words.values():
            assert words(f"requests.names.{right}")
            assert words(f"requests.texts.{right}")


def test_what_closes_binds_at_once_whoever_asks(box: Mailbox) -> None:
    """An opt-out by a known address is a choice of that person when the answer comes, without any proof."""
    person = box.newcomer("US-CA", "no.sale@example.com")
    answer = file(box, right="opt_out_sale_share", place="US-CA", email="no.sale@example.com")
    assert answer.headers["Location"].startswith("/privacy-request/taken?")
    assert box.kinds(person) == [EventKind.OPT_OUT, EventKind.OPT_OUT]
    told = passer_by(box).get(answer.headers["Location"]).get_data(as_text=True)
    assert "It holds from now on, whoever has the address." in told


@pytest.mark.parametrize("header", ["1", "0", None])
def test_the_signal_of_a_browser_binds_its_person_on_every_page(box: Mailbox, header: str | None) -> None:
    """An unsubscribe link opened, a choice confirmed, a request filed, any page signed in: `Sec-GPC: 1` is kept."""
    sent = {} if header is None else {"Sec-GPC": header}
    pages = {
        "link": lambda who, _mail: box.application.test_client().get(
            f"/unsubscribe?t={unsubscribe_link(box, who)}", base_url=ISSUER, headers=sent
        ),
        "request": lambda _who, mail: passer_by(box).send(
            "/privacy-request", {**OURS, **sent}, right="access", email=mail, place="US-CA"
        ),
        "history": lambda who, _mail: signed_in(box, who).get("/preferences/history", base_url=ISSUER, headers=sent),
    }
    for name, visit in pages.items():
        mail = f"{name}.{header}@example.com"
        person = box.newcomer("US-CA", mail)
        assert visit(person, mail).status_code in (200, 303), name
        assert box.services.choices.state(PersonRef(data_subject=person)).facts.gpc is (header == "1"), name
        events = [] if header != "1" else [EventKind.GPC]
        visit(person, mail)  # said once, it is on file once
        assert box.kinds(person) == events, name


def unsubscribe_link(box: Mailbox, person: str) -> str:
    """The token of a link of one purpose."""
    new = NewUnsubscribeLink(person, "email_marketing", "email_marketing", "newsletter")
    return box.services.customers.unsubscribe_links.make(new).token


def signed_in(box: Mailbox, person: str) -> FlaskClient:
    """A browser in which the person has just signed in."""
    client = box.application.test_client()
    token = box.services.customers.sessions.begin(Proved(person, Assurance.ACCOUNT)).token
    client.set_cookie(SESSION_COOKIE, token, domain="gateway.example", secure=True)
    return client
