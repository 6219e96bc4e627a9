"""The stack: settings -> platform -> components -> outputs."""

import gc

import pulumi


async def main() -> pulumi.Inputs:
    """Register every resource; returns the outputs. Raises pulumi.RunError with all that is in the way."""
    # A run ends in seconds, and a third of one went into looking for garbage among what it needs to its end. What it
    # imports is the most of that.
    gc.disable()
    from pulumi.runtime.config import CONFIG

    from components.program import deploy
    from components.rules import RULES
    from problems import StackError
    from settings import from_engine

    try:
        settings = from_engine(CONFIG.get(), pulumi.get_stack(), rules=RULES)
        return await deploy(settings, pulumi.get_project(), pulumi.get_stack())
    except StackError as error:
        # One message, no traceback, and nothing registered yet.
        raise pulumi.RunError(str(error)) from None


pulumi.run(main)
