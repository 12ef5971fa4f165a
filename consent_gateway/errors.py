"""One short tree of named causes, each with a stable code; knows nothing of HTTP.

Messages are lower case, name the cause and the mend, put input in backticks and never quote a
personal value. `web.problems` turns each class into a status and an RFC 9457 document.
"""

from dataclasses import dataclass


class GatewayError(Exception):
    """Root of everything the gateway raises on purpose. `code` is stable and documented."""

    code = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One fault in a caller's input: `pointer` is a JSON pointer into the body, or a parameter's name."""

    pointer: str
    message: str


class SettingsRefused(GatewayError):
    """A setting is missing or unsafe; the message says the mend."""

    code = "settings_refused"


class PolicyInvalid(GatewayError):
    """The policy documents do not stand; `findings` names file, line and mend of each fault."""

    code = "policy_invalid"

    def __init__(self, message: str, findings: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


class CatalogueMismatch(GatewayError):
    """The catalogue names a table or column that the store does not have."""

    code = "catalogue_mismatch"


class InputRefused(GatewayError):
    """The caller's input is malformed; nothing was changed."""

    code = "invalid_request"

    def __init__(self, message: str, faults: tuple[FieldFault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class UnknownPurpose(InputRefused):
    """The purpose is not one of the policy's purposes."""

    code = "unknown_purpose"


class UnknownField(InputRefused):
    """A field is not in the catalogue."""

    code = "unknown_field"


class IdentifierRefused(InputRefused):
    """An identifier's kind is unknown or its value is not well-formed."""

    code = "invalid_identifier"


class Unauthenticated(GatewayError):
    """No valid access token came with the call."""

    code = "unauthenticated"


class IssuerUnavailable(GatewayError):
    """The outside issuer of a token did not answer as it must, so the token cannot be judged."""

    code = "issuer_unavailable"


class CallerNotPermitted(GatewayError):
    """The client is not registered for this scope, purpose, channel or recipient."""

    code = "caller_not_permitted"


class SignInStale(Unauthenticated):
    """The officer's sign-in is older than this call allows."""

    code = "sign_in_stale"


class AssertionRefused(GatewayError):
    """A passkey, an enrolment code or what a passkey signed did not verify; nothing was changed."""

    code = "assertion_refused"


class SignInRefused(GatewayError):
    """A customer's sign-in did not prove what it must, by link, state, browser or provider; nothing was changed."""

    code = "sign_in_refused"


class FormRefused(GatewayError):
    """A form was not sent by a page of ours in this browser; nothing was changed."""

    code = "form_refused"


class NotSignedIn(GatewayError):
    """The page needs a customer who is signed in, in a way that is enough for it."""

    code = "not_signed_in"


class OfficerNotPermitted(GatewayError):
    """The officer does not hold the role of this call, or may not act on a request of their own."""

    code = "officer_not_permitted"


class OfficerHalted(GatewayError):
    """Too many re-identifications in an hour: the officer is halted until an operator clears the alarm."""

    code = "officer_halted"


class ReidentificationRefused(GatewayError):
    """Nothing may be told of what these tokens stand for, or they stand for nothing here; which, is not told."""

    code = "reidentification_refused"


class ProofRefused(GatewayError):
    """What was sent proves nobody; whether the person is known, and whether attempts are left, is not told."""

    code = "proof_refused"


class FieldsRefused(GatewayError):
    """A write named fields that have no basis for its purpose; `refused` gives the reason for each."""

    code = "fields_refused"

    def __init__(self, message: str, refused: dict[str, str]) -> None:
        super().__init__(message)
        self.refused = refused


class ConsentNotRaised(GatewayError):
    """A write or an event would raise a consent without what the law asks for it."""

    code = "consent_not_raised"


class Suppressed(GatewayError):
    """The identifier belongs to someone who was erased: nothing may bring them back but their own act."""

    code = "suppressed"


class NotFound(GatewayError):
    """Nothing is known under this id, or the caller may not know that there is."""

    code = "not_found"


class Conflict(GatewayError):
    """The record changed in between, or it exists already."""

    code = "conflict"


class IdempotencyMismatch(GatewayError):
    """The idempotency key was used before with another body."""

    code = "idempotency_mismatch"


class TooManyRequests(GatewayError):
    """The client has used up its allowance of look-ups; `retry_after` is when it has a new one, in seconds."""

    code = "too_many_requests"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreUnavailable(GatewayError):
    """The customer store is down, slow or answered what it must not."""

    code = "store_unavailable"


class AuditUnavailable(GatewayError):
    """The audit entry could not be made durable, so nothing may leave."""

    code = "audit_unavailable"


class DatabaseUnavailable(GatewayError):
    """The gateway's own database is down, full or slow."""

    code = "database_unavailable"


class KeysUnavailable(GatewayError):
    """A key is missing, destroyed or unreadable, or a protected value cannot be opened."""

    code = "keys_unavailable"


class KeysMissing(KeysUnavailable):
    """The key table knows no keys of this person: they were never made, or the table is another."""


class KeysDestroyed(KeysUnavailable):
    """The person's keys were destroyed on purpose: nothing of theirs can be opened again, by nobody."""


class ProtectionRefused(GatewayError):
    """An obligation is not understood or cannot be met, so nothing of the answer may leave."""

    code = "protection_refused"


class LogDamaged(GatewayError):
    """The audit log does not verify; `index` is the first bad entry where it can be named."""

    code = "log_damaged"

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class Undelivered(GatewayError):
    """A destination did not take a change; `cause` is a short word for it and never quotes an answer.

    `retry_after` is what the destination asked for, in seconds; with `is_gone` it wants nothing any more.
    """

    code = "undelivered"

    def __init__(self, cause: str, retry_after: int | None = None, *, is_gone: bool = False) -> None:
        super().__init__(f"the destination did not take the change: {cause}")
        self.cause = cause
        self.retry_after = retry_after
        self.is_gone = is_gone
