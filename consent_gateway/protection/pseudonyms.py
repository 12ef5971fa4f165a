"""Names that stand for a person or a value in one domain, by a keyed one-way function; pure, no key is fetched here.

A domain is one purpose and one recipient. Each name is a token text that tells its kind and the domain key's random id.
"""

from consent_gateway.protection.primitives import Keyed, bind, mac
from consent_gateway.protection.tokens import TokenKind, write
from consent_gateway.protection.values import normalised
from consent_gateway.vocabulary import JsonValue

PSEUDONYM_BYTES = 20  # 160 bits: no two people of one domain collide by chance


def pseudonym_of_person(seed: bytes, domain_key: bytes | Keyed, key_id: str, tenant: str) -> str:
    """A stable name for a person in one domain: HMAC of their random seed, 160 bits.

    The same for every field of the domain, another in every other domain, and gone with the seed.
    """
    return write(TokenKind.PSEUDONYM_OF_PERSON, key_id, _of_person("pseudonym.subject/1", seed, domain_key, tenant))


def alias_of_person(seed: bytes, domain_key: bytes | Keyed, key_id: str, tenant: str) -> str:
    """As `pseudonym_of_person`, in the form of an e-mail address that reaches nobody and may change case on its way.

    45 characters before the @ (RFC 5321 allows 64). It and the person's pseudonym in the same domain cannot be joined.
    """
    return write(TokenKind.EMAIL_ALIAS, key_id, _of_person("email.alias/1", seed, domain_key, tenant))


def pseudonym_of_value(value: JsonValue, field: str, domain_key: bytes | Keyed, key_id: str, tenant: str) -> JsonValue:
    """A stable name for a value of one field in one domain: HMAC of field and normalised value, 160 bits."""
    if value is None:
        return None
    body = mac(domain_key, bind("pseudonym.value/1", tenant, field, normalised(value)))[:PSEUDONYM_BYTES]
    return write(TokenKind.PSEUDONYM_OF_VALUE, key_id, body)


def _of_person(use: str, seed: bytes, domain_key: bytes | Keyed, tenant: str) -> bytes:
    return mac(domain_key, bind(use, tenant, seed))[:PSEUDONYM_BYTES]
