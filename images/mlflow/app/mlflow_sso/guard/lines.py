"""The lines in which the requests of a server process wait for their turns."""

import sys
from collections import Counter
from collections.abc import Callable

from mlflow_sso.guard.limits import Limits
from mlflow_sso.guard.line import Line
from mlflow_sso.guard.pace import Calls, Pace

# Calls that wait for a model elsewhere need no connection to a database meanwhile, and take long.
_MODELS, _MODELS_OF_ONE = 64, 16
# Seconds that a request computes which is not short.
_LONG = 0.1
# Bytes. What is made of a body in memory is many times its text: longer ones are answered one by one for each user, and
# while one is, another is read. Calls to models keep what was made of them while they wait.
LARGE = 1 << 20
_LARGE_AT_ONCE, LARGE_READ = 2, 2
_LARGE_MODELS, _LARGE_MODELS_OF_ONE = 4, 2


class Lines:
    """usual, models: for each request. large, large_models: before these, for one with a long body.

    read: for a body that turns out to be long, while it comes. held: bytes of each user's in memory. calls: short ones
    that are under way. pace: of bodies on their way beside these. waited: is told how long each usual request waited.
    computed: is told for how long each of them computed.
    """

    def __init__(
        self,
        limits: Limits,
        waited: Callable[[float], None] = lambda _: None,
        computed: Callable[[float], None] = lambda _: None,
    ) -> None:
        def line(turns: int, of_one: int) -> Line:
            return Line(turns, of_one, limits.places, limits.wait_seconds)

        places, wait = limits.places, limits.wait_seconds
        self.limits = limits
        self.usual = Line(limits.turns, limits.turns_of_one, places, wait, waited, _LONG, computed)
        self.models = line(_MODELS, _MODELS_OF_ONE)
        self.large = line(_LARGE_AT_ONCE, 1)
        self.large_models = line(_LARGE_MODELS, _LARGE_MODELS_OF_ONE)
        # As many as there are users: who sends slowly keeps nobody else from sending.
        self.read = line(sys.maxsize, LARGE_READ)
        self.held: Counter[str] = Counter()
        self.calls = Calls()
        self.pace = Pace(self.calls)
