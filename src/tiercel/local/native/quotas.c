/*
 * Who pays when a table is full: tiercel/local/quotas.py, with the holders in an array.
 */

#include "native.h"

#define FLOOR_PART 16
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

static int64_t quotas_floor(const Quotas *quotas)
{
    int64_t holders = quotas->length > 0 ? quotas->length : 1;
    int64_t floor = quotas->bound / (FLOOR_PART * holders);
    return floor > 1 ? floor : 1;
}

/* What the tenant's policy plans with. */
int64_t quotas_capacity(const Quotas *quotas, const View *view)
{
    if (quotas->length <= 1) {
        return quotas->share;
    }
    int64_t held = policy_cost(&view->policy);
    int64_t floor = quotas_floor(quotas);
    int64_t most = held > floor ? held : floor;
    return most < quotas->share ? most : quotas->share;
}

bool quotas_is_crowded(const Quotas *quotas, const View *view)
{
    return quotas->used > quotas->bound || policy_cost(&view->policy) > quotas->share;
}

/* Who makes room for *view*: of it and some others in turn, all above the floor, the least useful one. */
View *quotas_payer(Quotas *quotas, View *view)
{
    if (quotas->length <= 1 || quotas->used <= quotas->bound || policy_cost(&view->policy) > quotas->share) {
        return view;
    }
    int64_t floor = quotas_floor(quotas);
    View *chosen = view;
    bool is_open = policy_cost(&view->policy) <= floor;
    for (uint32_t tries = quotas->length < TRIES ? quotas->length : TRIES; tries > 0; tries--) {
        quotas->turn = quotas->turn + 1 < quotas->length ? quotas->turn + 1 : 0;
        View *other = quotas->holders[quotas->turn];
        if (policy_cost(&other->policy) > floor && (is_open || policy_is_worse_than(&other->policy, &chosen->policy))) {
            chosen = other;
            is_open = false;
        }
    }
    return chosen;
}
