"""What officers say of a request for correction: the new values; decides nothing."""

from typing import Any

from flask import Response

from consent_gateway.console.permissions import Doing
from consent_gateway.errors import (
    Conflict,
    ConsentNotRaised,
    InputRefused,
    KeysUnavailable,
    NotFound,
    StoreUnavailable,
    Suppressed,
)
from consent_gateway.rights.carrying import Mending
from consent_gateway.rights.correction_records import Corrected
from consent_gateway.rights.plan_model import FieldPlan, leftover_of
from consent_gateway.web import rights_schemas as schemas
from consent_gateway.web.operations import Answer, Call, OfficerAuth, json_answer, operation

_OFFICER = OfficerAuth(Doing.WORK_REQUESTS)
_SHOWN = Answer(200, "The correction as it stands.", schemas.CorrectionSchema)


@operation(
    "POST",
    "/v1/rights-requests/{request_id}/correction",
    auth=_OFFICER,
    body=schemas.CorrectSchema,
    answers=(_SHOWN,),
    raises=(InputRefused, ConsentNotRaised, Suppressed, NotFound, Conflict, StoreUnavailable, KeysUnavailable),
)
def propose_correction(call: Call) -> Response:
    """Say what is to stand in the record; nothing is written before the request is approved and executed.

    The answer names the copies that follow, what a law keeps as it is, and where the old value would be left.
    """
    made = _mending(call).propose(call.path["request_id"], call.body["record"], call.officer.officer_id)
    return json_answer(_document(made))


@operation(
    "GET",
    "/v1/rights-requests/{request_id}/correction",
    auth=_OFFICER,
    answers=(_SHOWN,),
    raises=(NotFound,),
)
def read_correction(call: Call) -> Response:
    """See what was proposed and what became of it; the recipients that were told stand in `/recipients`."""
    return json_answer(_document(_mending(call).read(call.path["request_id"])))


def _document(made: Corrected) -> dict[str, Any]:
    return {
        "id": made.correction_id,
        "state": made.state.value,
        "names": list(made.names),
        "fields": [_field(each) for each in made.fields],
        "leftovers": [leftover_of(one) for one in made.leftovers],
    }


def _field(one: FieldPlan) -> dict[str, Any]:
    return {
        "field": one.field,
        "corrected": one.erased,
        "kept": one.kept,
        "schedule": one.schedule,
        "until": one.until,
    }


def _mending(call: Call) -> Mending:
    mending = call.services.rights.mending
    if mending is None:
        raise NotFound("nothing is corrected here")
    return mending


OPERATIONS = (propose_correction, read_correction)
