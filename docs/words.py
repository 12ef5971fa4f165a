"""What the closed words of the code mean, in a sentence each; a word without its sentence cannot be generated."""

from collections.abc import Mapping
from types import MappingProxyType

EFFECTS: Mapping[str, str] = MappingProxyType(
    {
        "allow": "the value goes out as it is",
        "generalise": "the value goes out coarser: a band of years, an area, a month",
        "mask": "the value goes out mostly hidden",
        "pseudonymise": "another name goes out, of its own for each purpose and recipient",
        "withhold": "nothing goes out, and the column is not even asked of the store",
    }
)

PURPOSE_MEMBERS: Mapping[str, str] = MappingProxyType(
    {
        "key": "the word that calls, registrations and rules name it by",
        "name": "its name, as people read it",
        "description": "what it is for, in a sentence for the customer",
        "dpv": "its term in W3C DPV 2.3",
        "fideslang": "its data use in Fideslang 3.1",
        "categories": "the categories it may touch, each with what lies below it; any other is withheld",
        "groups": "the words by which packs speak of it, as `group:choice`",
        "key_classes": "the key classes a call for it can open, if its client is registered for it; default none",
    }
)

FIELD_MEMBERS: Mapping[str, str] = MappingProxyType(
    {
        "protection": "`sealed`: encrypted in the store's own column",
        "key_class": "of a sealed field, and only there: the class of the key that seals it, a word of at most 32 of"
        " `a`–`z`, `0`–`9` and `_`",
        "writable": "`true`: channels may write it, root collection only",
        "retention": "how long the store keeps it, as `P3Y`",
        "attribute": "what of the person a decision reads from it: `country`, `region`, `birth_date`, `member`",
        "mirrors_consent": "the purpose whose choice it copies; closed to writes for good",
        "search": "of an identity: the parts of it by which people may be searched, as `[last4]`; each tells something",
        "transforms": "how an effect is carried out for this field, where it differs from `transforms.yaml`",
        "erased_as": "what an erasure writes into the column where it takes neither null nor a blank",
    }
)

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "contract": "opens without a choice, because a contract needs it; `when` may ask for facts (`[member]`)",
        "legal_obligation": "opens without a choice, because a law demands it",
        "legitimate_interest": "opens without a choice, until the person objects; `effect` may ask for less than allow",
        "consent": "opens once the person has consented; for a minor with a parent's word the reason says so",
        "explicit_consent": "opens once the person has consented explicitly; a plain consent is not enough",
        "sensitive_opt_in": "as `consent`; while nothing is chosen the reason is `sensitive_opt_in`",
        "soft_opt_in": "opens for own similar products to existing customers who were offered an objection",
        "implied": "opens on a consent implied by a purchase, for as long as the pack's `implied_months`",
        "opt_out_model": "opens until the person opts out",
        "off_by_default": "as `consent`; while nothing is chosen the reason is `off_by_default`",
        "parent": "closes below the age, unless a parent authorised",
        "minor_opt_in": "closes within the ages, unless the minor opted in",
        "prohibited": "closes where its facts hold; no consent cures it",
        "bar": "closes where its facts hold; the general form, which needs `stage` and `reason`",
        "ground": "opens where its facts hold; the general form, which needs `reason`",
        "relabel": "gives a better reason to what another rule opens; it can never open anything itself",
        "shape": "tightens to generalise, mask or pseudonymise; the reason stays that of the rule that opened",
        "transfer": "closes for a recipient abroad without a safeguard",
    }
)

SEARCHES: Mapping[str, str] = MappingProxyType(
    {
        "last4": "the last four characters, of a telephone number digits",
        "prefix3": "the first three characters",
        "email_domain": "what follows the `@`",
    }
)

STAGES: Mapping[str, str] = MappingProxyType(
    {
        "restriction": "processing is restricted, or the state is unknown",
        "erasure": "erasure is asked for or done",
        "prohibition": "a ban that no consent cures",
        "transfer": "the recipient is abroad without a safeguard",
        "objection": "an objection, an opt-out, an unsubscription, a signal, a limit",
        "refusal": "a withdrawal, a refusal, an expiry, a notice that changed",
        "shape": "not for bars: where rules of kind `shape` stand",
    }
)

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "unknown": "nothing is recorded",
        "requested": "asked, not answered yet: a double opt-in that waits for its second step",
        "granted": "consent was given",
        "granted_explicit": "consent was given in express words",
        "soft_opt_in": "contact details came with a sale, and marketing was announced",
        "implied_existing_customer": "consent is implied by a purchase",
        "refused": "the person said no when asked",
        "withdrawn": "the person took consent back",
    }
)

EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "request": "the person was asked and has not answered yet",
        "grant": "the person consents",
        "grant_explicit": "the person consents in express words, as for health data",
        "refuse": "the person says no when asked",
        "withdraw": "the person takes a consent back",
        "object": "the person objects; for direct marketing that is absolute",
        "opt_out": "the person opts out of what is open without consent",
        "opt_in_again": (
            "the person opts in after an opt-out, in two steps; in a case file a later `granted` stands for both, "
            "while in the ledger a plain `grant` leaves an opt-out standing"
        ),
        "unsubscribe": "the person leaves a mailing list",
        "soft_opt_in": "details came with a sale and marketing was announced; its conditions stand in the evidence",
        "implied_existing_customer": "a purchase implies consent, where a law knows that (CASL)",
        "pause": "the person does not want this until `valid_until`, at most 366 days later",
        "resume": "the pause is over before its end",
        "frequency": "how often the person wants this: `daily`, `weekly` or `monthly`, as `frequency`; closes nothing",
        "gpc": "the person's browser sent Global Privacy Control",
        "limit": "the person limits the use of sensitive data",
        "lift_limit": (
            "the person lifts that limit; in a case file a later `granted` stands for it, "
            "while in the ledger a plain `grant` leaves a limit standing"
        ),
        "restrict": "processing is restricted (GDPR Art. 18)",
        "lift_restriction": "the company lifts the restriction",
        "parental_authorisation": "a parent authorises what a minor chose",
        "parental_revocation": "a parent takes that back",
        "join_programme": "the person joins the loyalty programme",
        "leave_programme": "the person leaves it",
        "erasure_request": "the person asks for erasure",
        "erasure_cancel": "the request is taken back",
        "erased": "the company has carried the erasure out",
        "legal_hold": "a legal claim keeps the data from erasure",
        "lift_legal_hold": "the claim is settled",
    }
)

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "consent": "the person consented",
        "explicit_consent": "the person consented explicitly",
        "parental_consent": "a minor consented and a parent authorised",
        "contract": "the contract with the person needs it",
        "legal_obligation": "a law demands it",
        "legitimate_interest": "the company's interest weighs more, and nobody objected",
        "soft_opt_in": "own similar products, an existing customer, an objection offered",
        "opt_out_model": "open until the person opts out",
        "notice_opt_out": "the person was told and did not opt out",
        "opt_in_after_opt_out": "the person opted out and later in again",
        "casl_implied": "a purchase implies consent for a while (Canada)",
        "minor_opt_in": "open: the minor opted in; withheld: the minor has not",
        "limit_exception_requested_service": "sensitive data for the service the person asked for, despite a limit",
        "pecr_statistics_exception": "statistics on the device are allowed without consent (UK)",
        "financial_incentive_conflict": "a reward programme goes on although an opt-out stands against it",
        "no_consent": "no rule opens this; or nothing may be told about the person",
        "not_yet_given": "the person was asked and has not answered",
        "withdrawn": "the person took consent back",
        "refused": "the person said no",
        "expired": "the consent is too old, or its own end has passed",
        "notice_version_mismatch": "the consent was given to a notice that no longer holds",
        "purpose_mismatch": "the consent was given for another purpose",
        "explicit_consent_required": "a plain consent is there, an explicit one is needed",
        "special_category": "a special category of data that the purpose does not declare",
        "sensitive_opt_in": "sensitive data, and the person has not opted in",
        "soft_opt_in_conditions": "a soft opt-in whose conditions are not all met",
        "objection": "the person objected",
        "objection_absolute": "the person objected to direct marketing, which ends it",
        "opted_out": "the person opted out",
        "unsubscribed": "the person unsubscribed",
        "gpc": "the browser's opt-out signal",
        "limit_sensitive": "the person limited the use of sensitive data",
        "service_provider_cannot_cross_context": "a service provider may not advertise across contexts",
        "below_digital_age": "below the age of digital consent, without a parent's word",
        "parent_required": "a child, without a parent's word",
        "minor_prohibited": "banned for minors; consent does not help",
        "sale_banned": "the sale is banned",
        "sensitive_sale_banned": "the sale of sensitive data is banned",
        "off_by_default": "off until the person turns it on",
        "not_a_member": "only for members of the programme",
        "transfer_without_safeguard": "the recipient is abroad and no safeguard stands",
        "restriction": "processing is restricted",
        "erasure_pending": "erasure was asked for",
        "erased": "the person was erased",
        "legal_hold": "kept for a legal claim only",
        "category_not_declared_for_purpose": "the purpose does not declare this kind of data",
        "unknown_purpose": "no such purpose",
        "unknown_category": "no such category",
        "unknown_jurisdiction": "the residence is unknown, or no pack covers it",
        "unknown_state": "the recorded state is not understood",
        "unknown_obligation": "no known transform carries the effect out",
        "caller_not_permitted": "the client is not registered for the purpose or recipient",
    }
)

CONTROLLER_MEMBERS: Mapping[str, str] = MappingProxyType(
    {
        "effective_from": "the day from which these answer; the last whose day has come are in force",
        "source": "the law or paper that it rests on",
        "controller": "who decides why and how data is used (GDPR Art. 4(7)); a contact",
        "joint": "others who decide with the controller (Art. 26); contacts",
        "representatives": "who stands for it where it has no establishment (Art. 27); contacts with `place`",
        "officer": "the data protection officer (Art. 37); a contact",
        "no_officer": "why the law asks for no data protection officer, where none is named",
        "name": "of a contact: its name, or the office it holds",
        "address": "of a contact: where post reaches it",
        "email": "of a contact: its mail address; this or `phone` must be there",
        "phone": "of a contact: its telephone number",
        "place": "of a representative: the country or jurisdiction in which it stands for the controller",
    }
)
