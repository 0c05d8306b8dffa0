"""Costs of single operations, in nanoseconds and in ratios to what Python itself offers."""
