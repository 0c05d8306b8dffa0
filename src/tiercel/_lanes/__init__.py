"""
Lanes: the connections to one Redis server, once for asyncio and once for threads.

`AsyncLane` multiplexes every task of an event loop over one connection, `Lane` every thread of the process. The two
share their interface, so that everything above them is written once (in `_async`) and generated for threads by
renaming. They are not twins by renaming themselves: an asyncio protocol and a blocking socket have nothing in common
but what they promise:

- a reply goes to the call that it answers, or to nobody: cancelling or timing out never shifts replies;
- a call ends by its deadline, with a reply or a `TierError`;
- a lost connection is made anew by the next call, paced by a back-off;
- after a fork the child makes connections of its own.
"""

from __future__ import annotations

from tiercel._lanes.asyncio_lane import AsyncLane
from tiercel._lanes.thread_lane import Lane

__all__ = ["AsyncLane", "Lane"]
