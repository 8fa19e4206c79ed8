"""Guests on other machines, by Dask: what a run is made of goes there, what it gave comes back.

Building and judging stay where the command was given. `order` is what a worker is told and what it
answers, `content` keeps inputs by the hash of what they hold, `work` is what a worker does, `crew`
knows the workers, `backend` gives them guests, `worker` is a worker's process.
"""
