"""
The demonstration: a multi-tenant storefront on all tiers, driven by realistic traffic, with a report at the end.

``tiercel demo`` runs it. `catalogue` makes the shop's data, `workload` its visitors, `storefront` is the application
(read that one first: it is how an application uses Tiercel), `servers` gives it databases and caches, `drive` lets
the visitors in and `summary` says what came of it.
"""
