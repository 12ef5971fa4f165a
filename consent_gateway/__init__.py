"""A consent and privacy compliance gateway: it stands between a company's channels and its customer data.

Every read and every write names a purpose. The gateway decides field by field what the law and this
person's own choices allow, transforms what may only go out protected, records what it did in a log that
cannot be altered unnoticed, and only then answers.

The line of one read is `consent_gateway.gateway`. Everything is put together in `consent_gateway.wiring`.
"""

__version__ = "0.1.0"
