"""The customers' room: how a person of the retailer proves to be themselves, and mail to them; knows nothing of HTTP.

`sessions` holds who is signed in, `links` the links that sign in or unsubscribe, `confirmations` and `confirming` those
that make a choice count, `handshakes` a sign-in under way at the retailer's provider, `mail` what is written and
queued, `smtp` and `outbox` how it leaves, `limits` how often it may be asked for.
Nothing kept here yields a credential: tokens are stored as keyed digests, and a queued mail is sealed.
"""
