"""
Local stand-ins for CDNs, built from their documented behaviour: limits, errors, rates and order of events.
"""
