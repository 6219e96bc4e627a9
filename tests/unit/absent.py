"""Packages of the MLflow image that tests lack: whatever is imported of them is there, and means nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Some are here in part, for other tests; that part is not what the image has.
_PACKAGES = ("authlib", "joserfc", "mlflow", "mlflow_oidc_auth", "redis", "sqlalchemy", "werkzeug")


class _Thing:
    """It can be called, compared and asked for anything, and gives another one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__table__":
            raise AttributeError(name)
        setattr(self, name, value := _Thing())
        return value

    def __call__(self, *_: Any, **__: Any) -> Any:
        return _Thing()

    def __gt__(self, other: object) -> Any:
        return _Thing()

    # As it stands in an annotation.
    def __or__(self, other: object) -> Any:
        return _Thing()


class _Error(Exception):
    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words)
        vars(self).update(more)


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        error = name.endswith(("Error", "Exception"))
        value = type(name, (_Error,), {}) if error else _Thing()
        setattr(self, name, value)
        return value


class _Absent(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if _of(name, *_PACKAGES) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _of(name: str, *packages: str) -> bool:
    return name.partition(".")[0] in packages


@contextmanager
def stood_in() -> Iterator[None]:
    """What is imported meanwhile may need those packages. All of it is forgotten at the end."""
    hidden = {name: module for name, module in sys.modules.items() if _of(name, *_PACKAGES)}
    for name in hidden:
        del sys.modules[name]
    before, finder = set(sys.modules), _Absent()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if _of(name, "mlflow_sso", *_PACKAGES):
                del sys.modules[name]
                home, _, last = name.rpartition(".")
                vars(sys.modules.get(home, finder)).pop(last, None)
        sys.modules.update(hidden)
