vcl 4.1;
# Varnish as an edge of Tiercel: surrogate keys, soft purges, bans, targeted cache headers, tenants apart.
#
# Include it from your own VCL, after the backend and the list of who may purge:
#
#     vcl 4.1;
#     backend default { .host = "app"; .port = "8000"; }
#     acl tiercel_purgers { "10.0.0.0"/8; }
#     include "tiercel.vcl";
#
# Set req.http.X-Tiercel-Tenant in your own vcl_recv (before the include) where hosts do not tell tenants apart.
# Needs the xkey module (varnish-modules).

import std;
import xkey;

sub vcl_recv {
    if (req.method == "PURGE" || req.method == "SOFTPURGE" || req.method == "BAN") {
        if (client.ip !~ tiercel_purgers) {
            return (synth(403, "Forbidden"));
        }
        if (req.method == "BAN") {
            if (!req.http.X-Tiercel-Ban) {
                return (synth(400, "X-Tiercel-Ban missing"));
            }
            # std.ban says what is wrong with an expression, where ban() would only write to the log.
            if (std.ban(req.http.X-Tiercel-Ban)) {
                return (synth(200, "Banned"));
            }
            return (synth(400, std.ban_error()));
        }
        if (!req.http.X-Tiercel-Keys) {
            return (synth(400, "X-Tiercel-Keys missing"));
        }
        if (req.method == "SOFTPURGE") {
            set req.http.X-Tiercel-Fallen = xkey.softpurge(req.http.X-Tiercel-Keys);
        } else {
            set req.http.X-Tiercel-Fallen = xkey.purge(req.http.X-Tiercel-Keys);
        }
        return (synth(200, "Purged"));
    }
    # Nobody but this file may say which keys an object has.
    unset req.http.xkey;
}

sub vcl_hash {
    hash_data(req.http.X-Tiercel-Tenant);
}

sub vcl_backend_response {
    # Keys: the application's, the path alone, and the path with its query.
    set beresp.http.xkey = beresp.http.Surrogate-Key + " url=" + regsub(bereq.url, "\?.*$", "") + " url=" + bereq.url;
    set beresp.http.x-tiercel-url = bereq.url;
    set beresp.http.x-tiercel-host = bereq.http.host;
    # Targeted lifetimes (RFC 9213) win over Cache-Control, which is for browsers then.
    if (beresp.http.CDN-Cache-Control) {
        if (beresp.http.CDN-Cache-Control ~ "(?i)(no-store|private|no-cache)") {
            set beresp.uncacheable = true;
            set beresp.ttl = 120s;
            return (deliver);
        }
        if (beresp.http.CDN-Cache-Control ~ "(?i)max-age=[0-9]+") {
            set beresp.ttl = std.duration(regsub(beresp.http.CDN-Cache-Control, "(?i)^.*max-age=([0-9]+).*$", "\1") + "s", 0s);
        }
        set beresp.grace = 0s;
        set beresp.keep = 0s;
        if (beresp.http.CDN-Cache-Control ~ "(?i)stale-while-revalidate=[0-9]+") {
            set beresp.grace = std.duration(
                regsub(beresp.http.CDN-Cache-Control, "(?i)^.*stale-while-revalidate=([0-9]+).*$", "\1") + "s", 0s);
        }
        if (beresp.http.CDN-Cache-Control ~ "(?i)stale-if-error=[0-9]+") {
            set beresp.keep = std.duration(
                regsub(beresp.http.CDN-Cache-Control, "(?i)^.*stale-if-error=([0-9]+).*$", "\1") + "s", 0s);
        }
    }
    # What a user signed in for is never shared, whatever the headers say.
    if (beresp.http.Set-Cookie || (bereq.http.Authorization && beresp.http.Cache-Control !~ "(?i)public|s-maxage|must-revalidate")) {
        set beresp.uncacheable = true;
        set beresp.ttl = 120s;
        return (deliver);
    }
}

sub vcl_deliver {
    unset resp.http.xkey;
    unset resp.http.Surrogate-Key;
    unset resp.http.CDN-Cache-Control;
    unset resp.http.x-tiercel-url;
    unset resp.http.x-tiercel-host;
    if (obj.hits > 0) {
        set resp.http.Cache-Status = "varnish; hit; ttl=" + std.integer(real=std.real(duration=obj.ttl), fallback=0);
    } else {
        set resp.http.Cache-Status = "varnish; fwd=miss";
    }
}

sub vcl_synth {
    if (req.http.X-Tiercel-Fallen) {
        set resp.http.X-Tiercel-Fallen = req.http.X-Tiercel-Fallen;
    }
}
