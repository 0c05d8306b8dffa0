"""Hit ratios of eviction policies on recorded accesses."""
