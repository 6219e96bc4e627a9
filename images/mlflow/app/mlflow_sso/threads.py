"""The plugin's application, with a thread for each request that Flask answers, which ends when its client has gone.

Left alone, the plugin's ASGI application answers all of Flask's requests in one thread, and that thread waits for
whoever reads the answer: one slow download of a model kept everybody from the tracking API, while the health
endpoints said that all is well. MLflow's own server has a pool of threads, so its code is made for them.
See docs/decisions/0013-threads-of-mlflow.md.

Source: asgiref's `sync_to_async` and `ThreadSensitiveContext`; the ASGI specification, "HTTP & WebSocket ASGI Message
Format", of which a server may drop what is sent after a disconnect without a word.
"""

import asyncio

from asgiref.sync import ThreadSensitiveContext

from mlflow_sso.asgi import Application, Message, Receive, Scope, Send


class ClientGone(Exception):
    """Nobody reads the answer any more."""


class OwnThreads:
    """An ASGI application around Flask whose requests do not wait for each other's threads."""

    def __init__(self, flask: Application) -> None:
        self._flask = flask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone: asyncio.Task[Message] | None = None

        async def received() -> Message:
            nonlocal gone
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                # After the body there is one message more, whenever it comes: http.disconnect.
                gone = asyncio.ensure_future(receive())
            return message

        async def sent(message: Message) -> None:
            if gone is not None and gone.done():
                raise ClientGone
            await send(message)

        try:
            async with ThreadSensitiveContext():
                await self._flask(scope, received, sent)
        except ClientGone:
            return
        finally:
            if gone is not None:
                gone.cancel()
                await asyncio.wait([gone])
