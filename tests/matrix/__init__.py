"""Every route of the server, what each needs, and who asks.

The tables are grouped by what a route is about. A row names a route as the server does, the class of callers that it
serves, and a request that succeeds for them; or the reason why none can here. What a caller is answered follows from
the class. tests/e2e/test_matrix.py reads the routes from the running server and asks each of them as everybody.
"""
