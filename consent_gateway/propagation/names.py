"""What a recipient calls a person and a message, from the keys of its domain; keeps no name."""

from base64 import b32encode

from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.primitives import bind, mac
from consent_gateway.protection.pseudonyms import pseudonym_of_person


class DomainNames:
    """Implements `outbox.Names` with the pseudonyms of `pseudonym.subject`, so that they match what was read."""

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring
        self._key = keyring.service_key("change-ids")

    def name(self, purpose: str, recipient: str, data_subject: str) -> str:
        """The person's pseudonym in this domain; see `outbox.Names`."""
        seed = self._keyring.create(data_subject).seed
        domain = self._keyring.domain_key(purpose, recipient)
        return pseudonym_of_person(seed, domain.secret, domain.key_id, self._keyring.tenant)

    def message_id(self, purpose: str, recipient: str, event_id: str) -> str:
        """The id of the message about this event to this recipient; no two recipients get one id."""
        digest = mac(self._key, bind("change-id/1", purpose, recipient, event_id))[:20]
        return "chg_" + b32encode(digest).decode().lower()
