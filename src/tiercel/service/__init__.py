"""
The operations service: REST, metrics, health and the dashboard of one cache; needs the extra ``tiercel[service]``.

`tiercel.service.app.service_app` is the ASGI application, `tiercel.service.server` runs it.
"""
