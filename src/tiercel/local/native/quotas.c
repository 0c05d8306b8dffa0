/*
 * Who pays when a table is full: tiercel/local/quotas.py, with the holders in an array.
 */

#include "native.h"

#define FLOOR_PART 8
#define TRIES 16u

void quotas_bound(Quotas *quotas, int64_t bound, double tenant_share)
{
    int64_t share = (int64_t)((double)bound * tenant_share);
    quotas->bound = bound;
    quotas->share = share > 1 ? share : 1;
}

/* Make room for *tenants* holders, so that quotas_note cannot fail. */
bool quotas_reserve(Quotas *quotas, uint32_t tenants)
{
    if (tenants <= quotas->room) {
        return true;
    }
    uint32_t room = tenants * 2;
    View **holders = PyMem_RawRealloc(quotas->holders, room * sizeof(View *));
    if (holders == NULL) {
        return false;
    }
    quotas->holders = holders;
    quotas->room = room;
    return true;
}

static void quotas_leave(Quotas *quotas, View *view)
{
    View *last = quotas->holders[--quotas->length];
    quotas->holders[view->holder] = last;
    last->holder = view->holder;
    view->holder = NOWHERE;
    quotas->claimed -= view->claim;
    view->claim = 0;
}

/* *view* holds *cost* more, or less; its policy has been told already. */
void quotas_note(Quotas *quotas, View *view, int64_t cost)
{
    quotas->used += cost;
    bool holds = policy_length(&view->policy) > 0;
    if (holds && view->holder == NOWHERE) {
        view->holder = quotas->length;
        quotas->holders[quotas->length++] = view;
    }
    else if (!holds && view->holder != NOWHERE) {
        quotas_leave(quotas, view);
    }
}

static int64_t quotas_quota(const Quotas *quotas, const View *view)
{
    int64_t holders = quotas->length > 0 ? quotas->length : 1;
    return quotas->bound / (FLOOR_PART * holders) + view->claim;
}

/* What the tenant's policy plans with. */
int64_t quotas_capacity(const Quotas *quotas, const View *view)
{
    if (quotas->length <= 1) {
        return quotas->share;
    }
    int64_t held = policy_cost(&view->policy);
    int64_t quota = quotas_quota(quotas, view);
    int64_t most = held > quota ? held : quota;
    most = most > 1 ? most : 1;
    return most < quotas->share ? most : quotas->share;
}

bool quotas_is_crowded(const Quotas *quotas, const View *view)
{
    return quotas->used > quotas->bound || policy_cost(&view->policy) > quotas->share;
}

static View *quotas_next(Quotas *quotas)
{
    quotas->turn = quotas->turn + 1 < quotas->length ? quotas->turn + 1 : 0;
    return quotas->holders[quotas->turn];
}

static uint32_t quotas_tries(const Quotas *quotas)
{
    return quotas->length < TRIES ? quotas->length : TRIES;
}

static int64_t quotas_excess(const Quotas *quotas, const View *view)
{
    return policy_cost(&view->policy) - quotas_quota(quotas, view);
}

/* Who makes room for *view*: one in turn that is further above its quota, or itself. */
View *quotas_payer(Quotas *quotas, View *view)
{
    if (quotas->length <= 1 || quotas->used <= quotas->bound || policy_cost(&view->policy) > quotas->share) {
        return view;
    }
    int64_t excess = quotas_excess(quotas, view);
    for (uint32_t tries = quotas_tries(quotas); tries > 0; tries--) {
        View *other = quotas_next(quotas);
        int64_t others = quotas_excess(quotas, other);
        if (others > excess && others > 0) {
            return other;
        }
    }
    return view;
}

static void quotas_take_back(Quotas *quotas, View *view, int64_t cost)
{
    int64_t taken = view->claim < cost ? view->claim : cost;
    view->claim -= taken;
    quotas->claimed -= taken;
}

/* Move *cost* of what is lent out to *view*, which had a ghost hit. */
void quotas_claim(Quotas *quotas, View *view, int64_t cost)
{
    if (quotas->length <= 1 || view->holder == NOWHERE) {
        return;
    }
    int64_t limit = quotas->bound - quotas->bound / FLOOR_PART;
    view->claim += cost;
    quotas->claimed += cost;
    for (uint32_t tries = quotas_tries(quotas); tries > 0 && quotas->claimed > limit; tries--) {
        View *other = quotas_next(quotas);
        if (other != view) {
            quotas_take_back(quotas, other, quotas->claimed - limit);
        }
    }
    if (quotas->claimed > limit) {
        quotas_take_back(quotas, view, quotas->claimed - limit);
    }
}
