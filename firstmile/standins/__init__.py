"""Stand-ins for other people's systems, for the demo and the tests.

The product never imports them: only the demo and the command line's demo and dev commands do.
"""
