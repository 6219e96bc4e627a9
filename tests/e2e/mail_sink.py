"""A mail server that keeps what it is sent (RFC 5321, as little of it as a sender needs)."""

from __future__ import annotations

import email
import email.policy
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage

from tests.e2e.harness import eventually, free_ports, gateway


@dataclass
class Mailbox:
    """What came to one address of this machine that containers reach."""

    host: str
    port: int
    messages: list[EmailMessage] = field(default_factory=list)

    def link(self, address: str) -> str:
        """The link in the last message to an address, which is waited for, and then forgotten."""

        def found() -> EmailMessage | None:
            return next((one for one in reversed(self.messages) if address in str(one["To"])), None)

        message = eventually(found, bool, f"a mail to {address}")
        assert message is not None
        self.messages.remove(message)
        text = message.get_body(("plain", "html"))
        assert text is not None
        link = re.search(r"https?://\S+", text.get_content())
        assert link
        return link[0]


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    (port,) = free_ports(1)
    box = Mailbox(gateway(), port)

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 sink")
            while line := self.rfile.readline():
                match line[:4].upper():
                    case b"DATA":
                        self._say("354 go on")
                        box.messages.append(self._message())
                        self._say("250 kept")
                    case b"QUIT":
                        return self._say("221 bye")
                    case _:
                        self._say("250 sink")

        def _message(self) -> EmailMessage:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            return email.message_from_bytes(b"".join(lines), policy=email.policy.default)

        def _say(self, words: str) -> None:
            self.wfile.write(f"{words}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server((box.host, port), Session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield box
        finally:
            server.shutdown()
