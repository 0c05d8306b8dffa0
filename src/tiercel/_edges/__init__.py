"""
The blocking parts of an edge, the same in both colours: origins that hold published objects, and senders of purges.

The façades run them in worker threads (`tiercel._paired.async_run_blocking`) or call them directly. Every class here
may be used from several threads at once.
"""
