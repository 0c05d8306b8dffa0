"""
Changes that nobody announced: databases are followed by their own logs, and what changed there falls in every tier.

``tiercel worker --cdc`` runs it. A *source* reads one database (`postgres`, `mongo`, `search`), a *follower* holds the
source's lease and drives it, an *applier* makes things fall, and the *watch* keeps one follower a source.
"""
