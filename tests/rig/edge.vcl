vcl 4.1;
# The rig's edge: shared caching by surrogate key, purges from loopback only.

import xkey;

backend origin {
    .host = "127.0.0.1";
    .port = "{backend_port}";
}

acl purgers {
    "127.0.0.1";
}

sub vcl_recv {
    if (req.method == "PURGE" || req.method == "SOFTPURGE" || req.method == "BAN") {
        if (client.ip !~ purgers) {
            return (synth(403, "Forbidden"));
        }
        if (req.method == "BAN") {
            if (!req.http.X-Ban) {
                return (synth(400, "X-Ban missing"));
            }
            ban(req.http.X-Ban);
            return (synth(200, "Banned"));
        }
        if (!req.http.Surrogate-Key) {
            return (purge);
        }
        if (req.method == "SOFTPURGE") {
            set req.http.X-Purged = xkey.softpurge(req.http.Surrogate-Key);
        } else {
            set req.http.X-Purged = xkey.purge(req.http.Surrogate-Key);
        }
        return (synth(200, "Purged"));
    }
}

sub vcl_hash {
    hash_data(req.http.X-Tenant);
}

sub vcl_backend_response {
    set beresp.http.xkey = beresp.http.Surrogate-Key;
    set beresp.http.x-url = bereq.url;
    set beresp.grace = 60s;
}

sub vcl_deliver {
    unset resp.http.xkey;
    unset resp.http.x-url;
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}

sub vcl_synth {
    if (req.http.X-Purged) {
        set resp.http.X-Purged = req.http.X-Purged;
    }
}
