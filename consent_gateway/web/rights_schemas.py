"""The form of requests of people on the wire, asked and answered; nothing unknown passes."""

from marshmallow import fields, validate

from consent_gateway.policy.legal_clocks import RIGHTS
from consent_gateway.policy.rights_terms import Way
from consent_gateway.rights.answers import DATES
from consent_gateway.rights.correction_records import State as Correction
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.intake import NO_REQUEST
from consent_gateway.rights.letters import LetterState
from consent_gateway.rights.letters_owed import Kind
from consent_gateway.rights.recipients import Kind as NoticeKind
from consent_gateway.rights.recipients import NoticeState
from consent_gateway.rights.requests import Via
from consent_gateway.rights.states import DenialGround, HoldGround, State
from consent_gateway.web.fields import ID, Moment, Text, language, purpose_key
from consent_gateway.web.schemas import PersonSchema, Strict

_REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._:/#=+-]*$"
_REQUESTED = tuple(right for right in RIGHTS if right not in NO_REQUEST)


def _reference(**rest: object) -> Text:
    form = "an opaque id of yours, without spaces or an at-sign"
    return Text(longest=128, pattern=_REFERENCE, form=form, **rest)  # type: ignore[arg-type]


class NewRightsRequestSchema(PersonSchema):
    """What somebody asks for. Of `identifier` the place is needed: whether we know the person is not told."""

    right = fields.String(required=True, validate=validate.OneOf(_REQUESTED))
    via = fields.String(load_default="api", validate=validate.OneOf([via.value for via in Via if via is not Via.PAGE]))
    jurisdiction = Text(
        longest=6,
        pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$",
        form="where the person lives, as in `DE` or `US-CA`",
        metadata={"description": "May be left out with `data_subject`."},
    )
    calendar = Text(longest=16, pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,6})?$", form="a calendar, as in `IE` or `DE-BY`")
    language = language(metadata={"example": "en"})
    purposes = fields.List(purpose_key(), load_default=list, validate=validate.Length(max=50))
    text = Text(longest=2000, metadata={"description": "What the person said; kept sealed until it is answered."})
    agent_permission = _reference(metadata={"description": "Of the permission signed for an authorised agent."})
    received_at = Moment(metadata={"description": "Officers only: when a letter arrived."})


class ProveSchema(Strict):
    """Proof of identity. `code` without a code sends one."""

    method = fields.String(required=True, validate=validate.OneOf([Way.CODE, Way.POINTS, Way.SEEN]))
    code = Text(longest=16, pattern=r"^[0-9]{4,16}$", form="the digits of the code")
    points = fields.Dict(
        keys=Text(longest=128), values=Text(longest=200), validate=validate.Length(1, 9), load_default=dict
    )
    declaration = _reference(metadata={"description": "Of the signed declaration, where one is asked for."})
    reference = _reference(metadata={"description": "Officers only: of what was seen."})
    data_subject = Text(longest=64, pattern=ID, form="an id that an earlier call answered, as in `ds_…`")


class ExtendSchema(Strict):
    """Why more time is needed."""

    reason = fields.String(required=True, validate=validate.OneOf(list(ExtensionReason)))


class HoldSchema(Strict):
    """Why a request waits."""

    ground = fields.String(required=True, validate=validate.OneOf(list(HoldGround)))


class DenySchema(Strict):
    """Why a request is refused."""

    ground = fields.String(required=True, validate=validate.OneOf(list(DenialGround)))


class ExecuteSchema(Strict):
    """Nothing where the gateway carries the right out; else what was done."""

    done = fields.Boolean(truthy={True}, falsy={False}, metadata={"description": "True: whole. False: in part."})
    reference = _reference(metadata={"description": "Of what was done elsewhere."})
    waived = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={"description": "The person waived the time in which they can take an erasure back."},
    )


class CorrectSchema(Strict):
    """What is to stand in the record, by field name."""

    record = fields.Dict(
        keys=Text(longest=128), values=fields.Raw(allow_none=True), required=True, validate=validate.Length(1, 50)
    )


class CorrectedFieldSchema(Strict):
    """In how many rows a field is corrected, and in how many a law keeps it as it was."""

    field = fields.String(required=True)
    corrected = fields.Integer(required=True)
    kept = fields.Integer(required=True)
    schedule = fields.String(required=True, allow_none=True)
    until = fields.Date(required=True, allow_none=True)


class LeftSchema(Strict):
    """A place in which the old value is left, and why."""

    place = fields.String(required=True)
    where = fields.String(required=True)
    cause = fields.String(required=True)
    rows = fields.Integer(required=True)
    code = fields.String()
    mend = fields.String(required=True)


class CorrectionSchema(Strict):
    """A correction: what it names and what becomes of it; no value."""

    correction_id = fields.String(required=True, data_key="id")
    state = fields.String(required=True, validate=validate.OneOf(list(Correction)))
    names = fields.List(fields.String(), required=True)
    fields_ = fields.List(fields.Nested(CorrectedFieldSchema), required=True, data_key="fields")
    leftovers = fields.List(fields.Nested(LeftSchema), required=True)


class ReleaseSchema(Strict):
    """Which fields of the package are left out, since they are about others."""

    blank = fields.List(fields.String(validate=validate.Length(1, 128)), load_default=list)


class PackageSchema(Strict):
    """The package of a request, for an officer's eyes."""

    package_id = fields.String(required=True, data_key="id")
    kind = fields.String(required=True)
    state = fields.String(required=True)
    expires_at = Moment(required=True)
    document = fields.Dict(required=True, metadata={"description": "As in the file `data.json`."})


class QueueQuerySchema(Strict):
    """How many requests to list."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, 500))


class OwedSchema(Strict):
    """Something owed, and its last day."""

    by = fields.Date(required=True)
    what = fields.String(required=True, validate=validate.OneOf(DATES))


class NeededSchema(Strict):
    """What proves identity: one of the ways is enough."""

    ways = fields.List(fields.String(validate=validate.OneOf(list(Way))), required=True)
    points = fields.Integer(required=True)
    declaration = fields.Boolean(required=True)
    until = fields.Date(required=True, allow_none=True)


class RightsRequestSchema(Strict):
    """A request as it stands; from `data_subject` on for officers alone."""

    request_id = fields.String(required=True, data_key="id")
    right = fields.String(required=True)
    regime = fields.String(required=True)
    jurisdiction = fields.String(required=True)
    via = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(list(State)))
    ground = fields.String(required=True, allow_none=True)
    received_at = Moment(required=True)
    acknowledged_at = Moment(required=True, allow_none=True)
    answered_at = Moment(required=True, allow_none=True)
    extension_reason = fields.String(required=True, allow_none=True)
    due = fields.Dict(keys=fields.String(validate=validate.OneOf(DATES)), values=fields.String(), required=True)
    suspended = fields.Boolean(required=True)
    proof = fields.Nested(NeededSchema, required=True, allow_none=True)
    # What follows is told to officers and to nobody else.
    data_subject = fields.String(allow_none=True)
    channel = fields.String()
    calendar = fields.String(allow_none=True)
    warnings = fields.List(fields.String())
    purposes = fields.List(fields.String())
    text = fields.String(allow_none=True)
    agent_permission = fields.String(allow_none=True)
    approved = fields.Boolean()
    running = fields.Boolean()
    paused_days = fields.Integer()
    owed = fields.List(fields.Nested(OwedSchema))
    outcome = fields.Dict(allow_none=True)


class QueuedSchema(RightsRequestSchema):
    """One line of the queue."""

    joined = fields.Integer(required=True)


class QueueSchema(Strict):
    """Open requests, what is due first before the rest."""

    today = fields.Date(required=True)
    requests = fields.List(fields.Nested(QueuedSchema), required=True)


class LetterSchema(Strict):
    """A letter about a request, as its person gets it; never to whom."""

    letter_id = fields.String(required=True, data_key="id")
    request = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(list(Kind)))
    language = fields.String(required=True)
    template = fields.String(required=True, metadata={"description": "The day from which its wording is in force."})
    state = fields.String(required=True, validate=validate.OneOf(list(LetterState)))
    subject_line = fields.String(required=True, data_key="subject")
    text = fields.String(required=True)
    created_at = Moment(required=True)
    settled_at = Moment(required=True, allow_none=True)
    can_be_resent = fields.Boolean(required=True)


class LettersSchema(Strict):
    """The letters about a request, the oldest first."""

    letters = fields.List(fields.Nested(LetterSchema), required=True)


class RecipientNoticeSchema(Strict):
    """That a recipient must erase or correct too: how far it was told, and whether it confirmed."""

    notice_id = fields.String(required=True, data_key="id")
    kind = fields.String(required=True, validate=validate.OneOf(list(NoticeKind)))
    request = fields.String(required=True)
    recipient = fields.String(required=True)
    known_as = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "What the recipient calls the person; empty where nobody can say it any more."},
    )
    fields_ = fields.List(fields.String(), required=True, data_key="fields")
    state = fields.String(required=True, validate=validate.OneOf(list(NoticeState)))
    queued_at = Moment(required=True)
    settled_at = Moment(required=True, allow_none=True)
    confirmed_at = Moment(required=True, allow_none=True)


class RecipientNoticesSchema(Strict):
    """Notices to recipients."""

    notices = fields.List(fields.Nested(RecipientNoticeSchema), required=True)


class ReleasedSchema(Strict):
    """The link's secret, told this once, and the request as it stands."""

    secret = fields.String(required=True)
    request = fields.Nested(RightsRequestSchema, required=True)


class ProvedSchema(Strict):
    """What came of it: a code was sent, or the request as it stands."""

    sent = fields.Boolean(required=True)
    request = fields.Nested(RightsRequestSchema, required=True)
