"""
The clients that people have, against a real server: whoever has one of them needs nothing of ours.
"""

import shutil

from twisted.trial.unittest import SkipTest, TestCase

from tests.processes import Program, Server, start_in_terminal, start_program, start_server


class ClientsTests(TestCase):
    """
    A person types a line and gets it back in capitals, ends the chat with ``CLOSE SOCKET``, and the server goes on.
    """

    async def start(self, name: str) -> tuple[Server, str]:
        """
        Start the server, for a test that needs this program.

        :return: the server, and its port.
        """
        if shutil.which(name) is None:
            raise SkipTest(f"{name} is not installed")
        server = start_server(self)
        return server, str(await server.port())

    async def chat(self, client: Program, answer: bytes = b"HELLO\n") -> None:
        """
        Type two lines, one by one, and ``CLOSE SOCKET``.
        """
        client.write(b"hello\n")
        await client.until(answer)
        client.write("stra\u00dfe\n".encode())
        await client.until(b"STRASSE")
        client.write(b"CLOSE SOCKET\n")

    async def ended(self, server: Server, client: Program, lines: int = 3) -> None:
        """
        The client ends by itself, contented; the server has closed because it was asked to, and goes on.
        """
        self.assertEqual(await client.end(), 0)
        await server.until(rb"connection 1 from \S+ ended after [^:]*: CLOSE SOCKET[^\n]*; in %d lines" % lines)
        self.assertEqual(await server.stop(), 0)
        self.assertNotIn(b"Traceback", server.output)

    async def piped(self, server: Server, client: Program) -> None:
        """
        What is piped through the client is answered to the last line, though its input ends at once.
        """
        client.write(b"".join(b"line %d\n" % number for number in range(1_000)))
        client.close_input()
        self.assertEqual(await client.end(), 0)
        expected = b"".join(b"LINE %d\n" % number for number in range(1_000))
        self.assertEqual(client.output.replace(b"\r", b""), expected)
        self.assertEqual(await server.stop(), 0)

    async def test_nc(self) -> None:
        """
        ``nc`` as Debian has it, OpenBSD's. It keeps waiting for the keyboard when the server has closed; the server
        lets go after its grace, and ``nc`` ends then.
        """
        server, port = await self.start("nc")
        client = start_program(self, "nc", "127.0.0.1", port)
        await self.chat(client)
        await self.ended(server, client)

    async def test_nc_with_crlf(self) -> None:
        """
        ``nc -C`` ends its lines with CRLF, and so are they answered.
        """
        server, port = await self.start("nc")
        client = start_program(self, "nc", "-C", "127.0.0.1", port)
        await self.chat(client, b"HELLO\r\n")
        client.close_input()
        await self.ended(server, client)

    async def test_nc_that_answers_telnet(self) -> None:
        """
        ``nc -t`` would answer telnet negotiation: there is none.
        """
        server, port = await self.start("nc")
        client = start_program(self, "nc", "-t", "127.0.0.1", port)
        await self.chat(client)
        client.close_input()
        await self.ended(server, client)

    async def test_nc_in_a_pipe(self) -> None:
        """
        ``nc -N`` closes its half at the end of its input, and gets every answer.
        """
        server, port = await self.start("nc")
        await self.piped(server, start_program(self, "nc", "-N", "127.0.0.1", port))

    async def test_ncat(self) -> None:
        """
        ``ncat``, nmap's.
        """
        server, port = await self.start("ncat")
        client = start_program(self, "ncat", "127.0.0.1", port)
        await self.chat(client)
        client.close_input()
        await self.ended(server, client)

    async def test_ncat_in_a_pipe(self) -> None:
        """
        ``ncat`` closes its half at the end of its input, and gets every answer.
        """
        server, port = await self.start("ncat")
        await self.piped(server, start_program(self, "ncat", "127.0.0.1", port))

    async def test_socat(self) -> None:
        """
        ``socat``, on TCP.
        """
        server, port = await self.start("socat")
        client = start_program(self, "socat", "-", f"TCP:127.0.0.1:{port}")
        await self.chat(client)
        await self.ended(server, client)

    async def test_socat_in_a_pipe(self) -> None:
        """
        ``socat`` closes its half at the end of its input, and gets every answer; with CRLF, too.
        """
        server, port = await self.start("socat")
        await self.piped(server, start_program(self, "socat", "-t", "30", "STDIO,crnl", f"TCP:127.0.0.1:{port}"))

    async def test_curl(self) -> None:
        """
        ``curl telnet://``.
        """
        server, port = await self.start("curl")
        client = start_program(self, "curl", "-sN", f"telnet://127.0.0.1:{port}")
        await self.chat(client)
        await self.ended(server, client)

    async def test_plink_telnet(self) -> None:
        """
        PuTTY's ``plink -telnet``, which begins to negotiate at once.
        """
        server, port = await self.start("plink")
        client = start_program(self, "plink", "-telnet", "-batch", "-P", port, "127.0.0.1")
        await self.chat(client)
        await self.ended(server, client)

    async def test_plink_raw(self) -> None:
        """
        PuTTY's ``plink -raw``.
        """
        server, port = await self.start("plink")
        client = start_program(self, "plink", "-raw", "-batch", "-P", port, "127.0.0.1")
        await self.chat(client)
        client.close_input()
        await self.ended(server, client)

    async def test_plink_raw_in_a_pipe(self) -> None:
        """
        ``plink -raw`` closes its half at the end of its input, and gets every answer.
        """
        server, port = await self.start("plink")
        await self.piped(server, start_program(self, "plink", "-raw", "-batch", "-P", port, "127.0.0.1"))

    async def test_telnet(self) -> None:
        """
        ``telnet`` with its input from a program, line by line.
        """
        server, port = await self.start("telnet")
        client = start_program(self, "telnet", "127.0.0.1", port)
        await client.until(rb"Escape character is")
        await self.chat(client)
        await self.ended(server, client)
        self.assertIn(b"Connection closed by foreign host", client.output)

    async def test_telnet_in_a_terminal(self) -> None:
        """
        ``telnet`` in a terminal, where a line ends with CRLF; then in its character mode, into which it negotiates,
        and where Return is CR NUL.
        """
        server, port = await self.start("telnet")
        client = start_in_terminal(self, "telnet", "127.0.0.1", port)
        await client.until(rb"Escape character is")
        client.write(b"hello\r")
        await client.until(rb"hello\r\nHELLO\r\n")
        client.write(b"\x1d")
        await client.until(rb"telnet> ")
        client.write(b"mode character\r")
        await client.until(rb"mode character\r\n")
        tries = 0
        # Until the terminal has changed its mode, what is typed is shown, and is a line as before.
        while client.output.count(b"again") == tries:
            tries += 1
            client.write(b"again\r")
            await client.until(rb"AGAIN", tries)
        client.write(b"CLOSE SOCKET\r")
        await self.ended(server, client, tries + 2)
        self.assertIn(b"AGAIN\rConnection closed by foreign host", client.output)
        self.assertNotIn(b"/err", client.output)
