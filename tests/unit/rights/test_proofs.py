"""Claims about proof of identity on both databases: what is enough, what is refused, what is kept of it: nothing."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from consent_gateway.customers.sessions import Assurance, CustomerSession
from consent_gateway.errors import Conflict, InputRefused, NotFound, ProofRefused
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy.rights_terms import Way
from consent_gateway.rights.requests import Request
from consent_gateway.rights.states import State
from consent_gateway.rights.tables import RIGHTS_CODES
from consent_gateway.vocabulary import Identifier
from tests.rights_world import ADA_POINTS, CODE
from tests.unit.rights.conftest import ADA, FAMILY, NOBODY, OFFICER, SHOP, Rights

POINTS = {"birth_date": "1990-04-12", "last_name": "LOVLACE", "postcode": "10115"}


def codes(rights: Rights) -> int:
    """How many codes wait."""
    with rights.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(RIGHTS_CODES)).scalar_one())


def test_a_code_proves_once(rights: Rights) -> None:
    """The mailed code proves the request; it is gone afterwards, and the request waits for no other."""
    asked = rights.ask("access")
    rights.room.proofs.send_code(asked.request_id, SHOP)
    assert CODE not in rights.everything()
    proved = rights.room.proofs.by_code(asked.request_id, CODE, SHOP)
    assert (proved.state, proved.standing.proved, codes(rights)) == (State.IN_PROGRESS, True, 0)
    with pytest.raises(Conflict, match="does not wait"):
        rights.room.proofs.by_code(asked.request_id, CODE, SHOP)


def test_a_code_is_over_after_its_time_and_after_the_next(rights: Rights) -> None:
    """A quarter of an hour, or a newer code, ends it; enough codes are enough."""
    asked = rights.ask("access")
    rights.room.proofs.send_code(asked.request_id, SHOP)
    rights.pass_by(minutes=15)
    with pytest.raises(ProofRefused):
        rights.room.proofs.by_code(asked.request_id, CODE, SHOP)
    assert rights.room.proofs.purge() == 1
    for _ in range(2):
        rights.room.proofs.send_code(asked.request_id, SHOP)
    assert codes(rights) == 1
    with pytest.raises(Conflict, match="no more codes"):
        rights.room.proofs.send_code(asked.request_id, SHOP)


def test_a_code_of_another_request_proves_nothing(rights: Rights) -> None:
    """A code is bound to its request, though the digits be the same."""
    asked, other = rights.ask("access"), rights.ask("portability")
    rights.room.proofs.send_code(asked.request_id, SHOP)
    with pytest.raises(ProofRefused):
        rights.room.proofs.by_code(other.request_id, CODE, SHOP)


def test_every_wrong_proof_is_refused_in_the_same_words(rights: Rights) -> None:
    """Known or not, shared or not, wrong or used up: one answer; the right code or points of nobody prove nothing."""
    told = set()
    for address in (ADA, FAMILY, NOBODY):
        asked = rights.ask("access", address, "US-CA")
        rights.room.proofs.send_code(asked.request_id, SHOP)
        tries: list[Callable[[Request], object]] = [
            lambda one: rights.room.proofs.by_code(one.request_id, "00000000", SHOP),
            lambda one: rights.room.proofs.by_points(one.request_id, {**POINTS, "postcode": "1"}, "decl-1", SHOP),
        ]
        if address != ADA:
            tries.append(lambda one: rights.room.proofs.by_code(one.request_id, CODE, SHOP))
            tries.append(lambda one: rights.room.proofs.by_points(one.request_id, POINTS, "decl-1", SHOP))
        for attempt in tries:
            with pytest.raises(ProofRefused) as refused:
                attempt(asked)
            told.add(str(refused.value))
        assert rights.read(asked).attempts == len(tries)
    assert len(told) == 1


def test_attempts_are_limited_for_a_request_and_for_a_person(rights: Rights) -> None:
    """After five wrong ones the right one is refused too; a fresh request helps for a second five in a day, no more."""
    for number in range(3):
        asked = rights.ask("access")
        rights.room.proofs.send_code(asked.request_id, SHOP)
        for _ in range(5):
            with pytest.raises(ProofRefused):
                rights.room.proofs.by_code(asked.request_id, "00000000", SHOP)
        with pytest.raises(ProofRefused):
            rights.room.proofs.by_code(asked.request_id, CODE, SHOP)
        assert rights.read(asked).attempts == 6, number
    last = rights.ask("access")
    rights.room.proofs.send_code(last.request_id, SHOP)
    with pytest.raises(ProofRefused):
        rights.room.proofs.by_code(last.request_id, CODE, SHOP)
    rights.pass_by(days=1, seconds=1)
    fresh = rights.ask("access")
    rights.room.proofs.send_code(fresh.request_id, SHOP)
    assert rights.room.proofs.by_code(fresh.request_id, CODE, SHOP).standing.proved


def test_data_points_prove_in_the_number_that_the_right_needs(rights: Rights) -> None:
    """Three and a signed declaration for specific pieces, two for categories; marks and case do not count."""
    pieces = rights.ask("access")
    with pytest.raises(InputRefused, match="3 points"):
        rights.room.proofs.by_points(pieces.request_id, {"last_name": "Löv-Lace", "postcode": "10115"}, "decl-1", SHOP)
    with pytest.raises(InputRefused, match="declaration"):
        rights.room.proofs.by_points(pieces.request_id, POINTS, None, SHOP)
    with pytest.raises(InputRefused, match="use last_name, birth_date, street, postcode"):
        rights.room.proofs.by_points(pieces.request_id, {**POINTS, "first_name": "Ada"}, "decl-1", SHOP)
    assert rights.store.reads == 0
    assert rights.room.proofs.by_points(pieces.request_id, POINTS, "decl-1", SHOP).standing.proved
    categories = rights.ask("know", place="US-CA")
    two = {"birth_date": "1990-04-12", "postcode": "10115"}
    assert rights.room.proofs.by_points(categories.request_id, two, None, SHOP).standing.proved


def test_one_wrong_point_among_many_is_a_wrong_proof(rights: Rights) -> None:
    """Guessing more does not help, and an empty column fits nothing."""
    asked = rights.ask("delete")
    for wrong in ({**POINTS, "birth_date": "1990-04-13"}, {**POINTS, "street": "Weg 1"}, {**POINTS, "last_name": "-"}):
        with pytest.raises(ProofRefused):
            rights.room.proofs.by_points(asked.request_id, wrong, None, SHOP)
    assert rights.room.proofs.by_points(asked.request_id, POINTS, None, SHOP).standing.proved


def test_nothing_shown_is_kept(rights: Rights) -> None:
    """Neither points nor codes stand anywhere in the database, used or refused."""
    asked = rights.ask("access")
    rights.room.proofs.send_code(asked.request_id, SHOP)
    with pytest.raises(ProofRefused):
        rights.room.proofs.by_points(asked.request_id, {**POINTS, "last_name": "Zyxomma"}, "decl-1", SHOP)
    rights.room.proofs.by_points(asked.request_id, POINTS, "decl-1", SHOP)
    held = rights.everything()
    for value in (*POINTS.values(), *ADA_POINTS.values(), "Zyxomma", CODE):
        assert value not in held
    assert codes(rights) == 0
    assert rights.acts(asked)[-2:] == ["prove_failed_points", "prove"]


def test_a_fresh_sign_in_to_the_own_account_proves(rights: Rights) -> None:
    """A mailed link is what a mailed code is; an old one, an old sign-in and another person's account prove nothing."""
    asked = rights.ask("access")
    now = rights.clock.now()

    def session(assurance: Assurance, minutes: int, person: str) -> CustomerSession:
        return CustomerSession("cs_1", person, assurance, now - timedelta(minutes=minutes), None)

    ada = rights.ids[ADA]
    for wrong in (
        session(Assurance.LINK, 16, ada),
        session(Assurance.SCOPED, 0, ada),
        session(Assurance.ACCOUNT, 16, ada),
        session(Assurance.ACCOUNT, 0, rights.ids[FAMILY]),
    ):
        with pytest.raises(ProofRefused):
            rights.room.proofs.by_session(asked.request_id, wrong, SHOP)
    assert rights.room.proofs.by_session(asked.request_id, session(Assurance.ACCOUNT, 15, ada), SHOP).standing.proved
    signed_in = rights.ask("portability", person=PersonRef(data_subject=ada), place=None, proved_by=Way.SESSION)
    assert (signed_in.state, signed_in.regime) == (State.IN_PROGRESS, "EU_GDPR")
    linked = rights.ask("delete")
    assert rights.room.proofs.by_session(linked.request_id, session(Assurance.LINK, 15, ada), SHOP).standing.proved
    assert rights.acts(linked)[-1] == "prove"


def test_an_officer_says_whose_request_it_is(rights: Rights) -> None:
    """Where several share the address an officer names the person; never another than the one who is known."""
    shared = rights.ask("access", FAMILY, "US-CA")
    with pytest.raises(InputRefused, match="say whose"):
        rights.room.proofs.by_officer(shared.request_id, "seen-1", None, OFFICER)
    with pytest.raises(NotFound):
        rights.room.proofs.by_officer(shared.request_id, "seen-1", "ds_nobody", OFFICER)
    person = rights.ids[FAMILY]
    assert rights.room.proofs.by_officer(shared.request_id, "seen-1", person, OFFICER).data_subject == person
    own = rights.ask("access")
    with pytest.raises(Conflict, match="another person"):
        rights.room.proofs.by_officer(own.request_id, "seen-1", person, OFFICER)
    with pytest.raises(InputRefused, match="reference"):
        rights.room.proofs.by_officer(own.request_id, "passport of Ada", None, OFFICER)


def test_a_code_needs_an_address_and_a_right_that_asks_for_proof(rights: Rights) -> None:
    """No code goes to a telephone, and none is asked for an opt-out."""
    by_phone = rights.ask("access", person=PersonRef(identifier=Identifier("phone", "+4930123456")))
    with pytest.raises(InputRefused, match="e-mail address"):
        rights.room.proofs.send_code(by_phone.request_id, SHOP)
    opt_out = rights.ask("opt_out_sale_share", place="US-CA")
    with pytest.raises(Conflict, match="no way to prove"):
        rights.room.proofs.send_code(opt_out.request_id, SHOP)
