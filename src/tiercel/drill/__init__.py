"""
The drill: a cache under load while one fault after the other strikes its Redis, and what its callers saw.

`tiercel.drill.deployments` are what is struck, `faults` what strikes, `load` who reads, `table` what is promised.
"""
