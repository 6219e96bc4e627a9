"""The application of the image, put together once in each server process."""

from mlflow_oidc_auth.app import app as plugin
from mlflow_oidc_auth.middleware import AuthAwareWSGIMiddleware
from starlette.routing import Mount

from mlflow_sso import mends
from mlflow_sso.threads import OwnThreads

mends.install()
_mounts = [route for route in plugin.routes if isinstance(route, Mount)]
(_flask,) = [mount for mount in _mounts if isinstance(mount.app, AuthAwareWSGIMiddleware)]
_flask.app = OwnThreads(_flask.app)
app = plugin
