"""
Adapters: what other frameworks do, told to the cache. Each is imported by name and needs its framework alone.
"""
