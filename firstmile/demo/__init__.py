"""The demo: sample customers of every shipped segment, in accelerated time, on one machine.

Rules of the room: the product runs as child processes, as it does in production, and is spoken to over HTTP
only; nothing here imports workflows or activities. What the demo believes at the end is read from what the
stand-ins kept and from the store, never from what it meant to do.
"""
