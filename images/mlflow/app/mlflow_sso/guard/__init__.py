"""What stands before the application, whatever the plugin: limits, the hosts it answers for, and headers of answers.

It needs Python's library and cachetools, and nothing of MLflow's or the plugin's. `Guard` is outermost, and `Turns`
innermost, but before the application's rules where these read a body: what a request may cost is bounded before the
application sees it, and who it is from is known before its body is read.
"""

from mlflow_sso.guard.below import Below
from mlflow_sso.guard.guard import Errand, Guard
from mlflow_sso.guard.limits import Limits
from mlflow_sso.guard.lines import Lines
from mlflow_sso.guard.origins import Origins
from mlflow_sso.guard.turns import Turns

__all__ = ["Below", "Errand", "Guard", "Limits", "Lines", "Origins", "Turns"]
