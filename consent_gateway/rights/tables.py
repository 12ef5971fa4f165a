"""Tables of the rights room: requests, letters about them, codes that wait to be used; what is personal lies sealed."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

RIGHTS_REQUESTS = sa.Table(
    "rights_requests",
    METADATA,
    sa.Column("request_id", sa.String(32), primary_key=True),
    sa.Column("right", sa.String(32), nullable=False),
    sa.Column("regime", sa.String(32), nullable=False),
    sa.Column("jurisdiction", sa.String(8), nullable=False),
    sa.Column("calendar", sa.String(16)),  # whose holidays move an end
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("via", sa.String(20), nullable=False),  # one of `Via`
    sa.Column("channel", sa.String(64), nullable=False),
    sa.Column("recorded_by", sa.String(64), nullable=False),  # client or officer
    sa.Column("data_subject", sa.String(32), index=True),  # null where nobody is known, or several share the identifier
    sa.Column("person_key", sa.String(80), nullable=False),  # by which a second request of the same person is known
    sa.Column("sealed", sa.LargeBinary),  # identifier and text, encrypted; null once answered
    sa.Column("reply_to", sa.LargeBinary),  # the mail address for letters, encrypted; null once the last is written
    sa.Column("language", sa.String(35)),
    sa.Column("purposes", sa.Text, nullable=False),  # JSON array: what an objection is about; empty for everything
    sa.Column("agent_permission", sa.String(128)),  # reference of the signed permission of an authorised agent
    sa.Column("warnings", sa.Text, nullable=False),  # JSON array of words
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),  # goes up by one with each change
    sa.Column("proved", sa.Boolean, nullable=False),
    sa.Column("begun", sa.Boolean, nullable=False),
    sa.Column("extended", sa.Boolean, nullable=False),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("running", sa.Boolean, nullable=False),
    sa.Column("ground", sa.String(32)),
    sa.Column("pauses", sa.Text, nullable=False),  # JSON array of [first day, day of the answer or null]
    sa.Column("extension_reason", sa.String(32)),
    sa.Column("attempts", sa.Integer, nullable=False),  # at proof, that failed
    sa.Column("codes", sa.Integer, nullable=False),  # that were sent
    sa.Column("prove_until", sa.String(10)),  # the last day on which identity can be proved
    sa.Column("next_by", sa.String(10)),  # the day of what is due next; null where nothing is
    sa.Column("acknowledged_at", sa.BigInteger),
    sa.Column("lease_until", sa.BigInteger),  # while somebody carries it out
    sa.Column("answered_at", sa.BigInteger),
    sa.Column("outcome", sa.Text),  # JSON: reference and leftovers of what was carried out
    sa.Column("joined_to", sa.String(32), index=True),  # the request this one repeats
    sa.Index("ix_rights_requests_person_key_right", "person_key", "right"),
    sa.Index("ix_rights_requests_state_next_by", "state", "next_by"),
)

RIGHTS_LETTERS = sa.Table(
    "rights_letters",
    METADATA,
    sa.Column("letter_id", sa.String(32), primary_key=True),
    sa.Column("request_id", sa.String(32), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),  # of the request, after the step that owes the letter
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("template", sa.String(10), nullable=False),  # the day from which its wording is in force
    sa.Column("subject_line", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),  # holds nothing about the person beside what the request's row holds
    sa.Column("state", sa.String(10), nullable=False),  # one of `LetterState`
    sa.Column("mail_id", sa.String(32), unique=True),  # in the queue of mail, and its Message-ID
    sa.Column("address", sa.LargeBinary),  # encrypted; null once it was delivered
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("settled_at", sa.BigInteger),
    sa.UniqueConstraint("request_id", "version"),  # a step owes one letter at most, and owes it once
    sa.Index("ix_rights_letters_state_settled_at", "state", "settled_at"),
)

RIGHTS_CODES = sa.Table(
    "rights_codes",
    METADATA,
    sa.Column("request_id", sa.String(32), primary_key=True),
    sa.Column("code_hash", sa.String(64), nullable=False),  # HMAC-SHA256 in hex
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)
