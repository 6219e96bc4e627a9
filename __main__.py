"""The stack: settings -> platform -> components -> outputs."""

import gc

import pulumi
from pulumi.runtime.config import CONFIG

from components.program import deploy
from platforms.workload import StackError
from settings import from_engine

# A run ends in seconds, and a third of one went into looking for garbage among what it needs to its end.
gc.disable()
try:
    settings = from_engine(CONFIG.get(), pulumi.get_stack())
    for name, value in deploy(settings, pulumi.get_project(), pulumi.get_stack()).items():
        pulumi.export(name, value)
except StackError as error:
    # One message, no traceback, and nothing registered yet.
    raise pulumi.RunError(str(error)) from None
