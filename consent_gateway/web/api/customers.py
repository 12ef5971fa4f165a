"""Reads and writes of customer records by way of the gateway; touches no store."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response, g

from consent_gateway.callers.registry import Scope
from consent_gateway.errors import (
    AuditUnavailable,
    Conflict,
    ConsentNotRaised,
    FieldFault,
    FieldsRefused,
    IdentifierRefused,
    InputRefused,
    KeysUnavailable,
    NotFound,
    ProtectionRefused,
    StoreUnavailable,
    Suppressed,
    TooManyRequests,
    UnknownField,
    UnknownPurpose,
)
from consent_gateway.line import ReadQuery, tells_nothing
from consent_gateway.people.directory import PersonRef
from consent_gateway.ports import Page
from consent_gateway.searches import SLOTS, SearchQuery
from consent_gateway.vocabulary import Identifier
from consent_gateway.web import answer_schemas, schemas
from consent_gateway.web.answers import record_answer, search_answer
from consent_gateway.web.operations import Answer, Call, json_answer, operation
from consent_gateway.writes import CreateQuery, WriteAnswer, WriteQuery

_READS = (
    UnknownPurpose,
    UnknownField,
    IdentifierRefused,
    StoreUnavailable,
    AuditUnavailable,
    KeysUnavailable,
    ProtectionRefused,
)
_WRITES = (*_READS, TooManyRequests, FieldsRefused, ConsentNotRaised, Conflict, Suppressed)
_RECORD = (Answer(200, "What may go out of the record.", answer_schemas.RecordAnswerSchema),)
_LONGEST_VERSION = 128


@operation(
    "POST",
    "/v1/customers/lookup",
    auth=Scope.CUSTOMERS_READ,
    body=schemas.LookupSchema,
    answers=_RECORD,
    raises=(*_READS, TooManyRequests),
    reads_gpc=True,
    example={
        "identifier": {"kind": "email", "value": "ada@example.com"},
        "purpose": "order_fulfilment",
        "fields": ["first_name", "email"],
    },
)
def lookup_customer(call: Call) -> Response:
    """Read a customer record by any identifier.

    Only fields that are open for the purpose are in `record`, transformed where the law or the person asks it.
    `fields` says for each field what was decided and why. An identifier nobody has is answered like one of whom
    nothing may be told.
    """
    body = call.body
    page = body.get("page")
    query = ReadQuery(
        person=PersonRef(identifier=Identifier(body["identifier"]["kind"], body["identifier"]["value"])),
        purpose=body["purpose"],
        fields=_names(body.get("names")),
        recipient=body.get("recipient"),
        page=Page() if page is None else Page(page["limit"], page["offset"]),
        gpc=call.gpc,
    )
    with call.services.limits.look_up(call.caller.client_id) as lookup:
        answer = call.services.gateway.read(call.caller, query)
        lookup.missed(int(tells_nothing(answer.verdicts)))
    return record_answer(answer)


@operation(
    "POST",
    "/v1/customers/search",
    auth=Scope.CUSTOMERS_SEARCH,
    body=schemas.SearchSchema,
    answers=(Answer(200, "Of whom something may be told.", answer_schemas.SearchAnswerSchema),),
    raises=(*_READS, TooManyRequests),
    reads_gpc=True,
    example={
        "identifier": {"kind": "phone", "mode": "last4", "value": "4711"},
        "purpose": "order_fulfilment",
        "fields": ["first_name", "email"],
    },
)
def search_customers(call: Call) -> Response:
    """Find customers by a part of an identifier.

    The catalogue says for each identity by which parts it can be searched. Each of `candidates` is a read of its own,
    with its own decision. People of whom nothing may be told are left out and not counted: `more` is true only where
    20 are told and there are others. A search counts as 20 look-ups, and one that tells nothing as 20 misses.
    """
    body = call.body
    named = body["identifier"]
    query = SearchQuery(
        kind=named["kind"],
        mode=named["mode"],
        value=named["value"],
        purpose=body["purpose"],
        fields=_names(body.get("names")),
        recipient=body.get("recipient"),
        gpc=call.gpc,
    )
    with call.services.limits.look_up(call.caller.client_id, SLOTS) as lookup:
        answer = call.services.searches.search(call.caller, query)
        lookup.missed(0 if answer.candidates else SLOTS)
    return search_answer(answer)


@operation(
    "GET",
    "/v1/customers/{data_subject}",
    auth=Scope.CUSTOMERS_READ,
    query=schemas.ReadQuerySchema,
    answers=_RECORD,
    raises=(*_READS, NotFound),
    reads_gpc=True,
)
def read_customer(call: Call) -> Response:
    """Read a customer record by the id an earlier call answered.

    The same answer as a look-up; the record's version also stands in `ETag`.
    """
    given = call.query
    query = ReadQuery(
        person=PersonRef(data_subject=call.path["data_subject"]),
        purpose=given["purpose"],
        fields=given.get("names"),
        recipient=given.get("recipient"),
        page=Page(given["limit"], given["offset"]),
        gpc=call.gpc,
    )
    answer = call.services.gateway.read(call.caller, query)
    response = record_answer(answer)
    if answer.version is not None:
        response.set_etag(answer.version)
    return response


@operation(
    "POST",
    "/v1/customers",
    auth=Scope.CUSTOMERS_WRITE,
    body=schemas.CreateSchema,
    answers=(Answer(201, "The record was created.", answer_schemas.WriteAnswerSchema),),
    raises=_WRITES,
    reads_gpc=True,
    idempotent=True,
    example={
        "purpose": "order_fulfilment",
        "record": {
            "external_ref": "C-100815",
            "first_name": "Ada",
            "last_name": "Lovelace",
            "email": "ada@example.com",
            "country": "DE",
        },
        "source": "checkout form",
    },
)
def create_customer(call: Call) -> Response:
    """Create a customer record.

    Every field must have a basis for the purpose, or nothing is written and `refused` names those that have none.
    """
    body = call.body
    query = CreateQuery(purpose=body["purpose"], values=body["changes"], source=body["source"])
    with _counted(call):
        answer = call.services.writes.create(call.caller, query)
    call.keep_signal(PersonRef(data_subject=answer.data_subject))
    return _written(answer, 201)


@operation(
    "PATCH",
    "/v1/customers/{data_subject}",
    auth=Scope.CUSTOMERS_WRITE,
    body=schemas.PatchSchema,
    answers=(Answer(200, "The fields were written.", answer_schemas.WriteAnswerSchema),),
    raises=(*_WRITES, NotFound),
    reads_gpc=True,
    idempotent=True,
    reads_if_match=True,
    example={"purpose": "customer_support", "record": {"first_name": "Ada"}, "source": "the customer, by telephone"},
)
def change_customer(call: Call) -> Response:
    """Change fields of a customer record.

    With `If-Match`, only if the record still has the version that was read. A consent cannot be raised by a write.
    """
    body = call.body
    person = PersonRef(data_subject=call.path["data_subject"])
    call.keep_signal(person)
    query = WriteQuery(
        person=person,
        purpose=body["purpose"],
        changes=body["changes"],
        source=body["source"],
        expected_version=_expected_version(call),
    )
    with _counted(call):
        return _written(call.services.writes.change(call.caller, query), 200)


@contextmanager
def _counted(call: Call) -> Iterator[None]:
    """Count a write as a look-up, and a refused one as a miss: whoever tries identifiers would learn of people."""
    with call.services.limits.look_up(call.caller.client_id) as lookup:
        try:
            yield
        except (FieldsRefused, Conflict, Suppressed):
            lookup.missed()
            raise


def _expected_version(call: Call) -> str | None:
    header = call.request.headers.get("If-Match")
    if header is None:
        return None
    version = header.strip().removeprefix('"').removesuffix('"')
    if not 1 <= len(version) <= _LONGEST_VERSION or f'"{version}"' != header.strip() or '"' in version:
        fault = FieldFault("If-Match", "must be one version in double quotes, as in `ETag`")
        raise InputRefused("the If-Match header is malformed", (fault,))
    return version


def _written(answer: WriteAnswer, status: int) -> Response:
    g.decision_id = answer.decision_id
    document = {
        "data_subject": answer.data_subject,
        "version": answer.version,
        "written": answer.written,
        "decision_id": answer.decision_id,
        "policy_revision": answer.revision,
    }
    return json_answer(document, status)


def _names(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


OPERATIONS = (lookup_customer, search_customers, read_customer, create_customer, change_customer)
