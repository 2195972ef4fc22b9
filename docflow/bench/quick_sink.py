"""A mail server that does nothing but take mails: what it costs must not be taken for the sender's."""

import asyncio
import sys

_END = b"\r\n.\r\n"


class Taking(asyncio.Protocol):
    """One client. The mails it was given count; their bytes are dropped."""

    def __init__(self) -> None:
        self._kept = b""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "TCP"
        self._transport = transport
        transport.write(b"220 quick\r\n")

    def data_received(self, data: bytes) -> None:
        if self._in_data:
            tail = self._kept[-len(_END) :] + data[-len(_END) :]
            self._kept = data[-len(_END) :] if len(data) >= len(_END) else tail
            if tail.endswith(_END):
                self._in_data, self._kept = False, b""
                self._transport.write(b"250 2.0.0 taken\r\n")
            return
        self._kept += data
        while b"\r\n" in self._kept and not self._in_data:
            line, _, self._kept = self._kept.partition(b"\r\n")
            self._transport.write(self._answer(line[:4].upper()))

    def _answer(self, verb: bytes) -> bytes:
        if verb == b"EHLO":
            return b"250-quick\r\n250-SIZE 104857600\r\n250-DSN\r\n250 8BITMIME\r\n"
        if verb == b"DATA":
            self._in_data = True
            return b"354 go on\r\n"
        if verb == b"QUIT":
            return b"221 bye\r\n"
        return b"250 ok\r\n"


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Taking, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
