"""
What an independent scanner says of TLS as it is here by default: sslyze, with Mozilla's *intermediate* configuration.

sslyze needs older libraries than ours, so it has an environment of its own, ``.venv-sslyze`` in the checkout. The first
run makes it, in about 20 s; later runs find it, and take 2 s. Where pip reaches no index the test is skipped.
"""

import os
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

from echochat.client.authority import Authority
from tests.net.authority import Pair
from tests.net.recorders import Recorder, Recording
from tests.net.tls_real import Site, echo
from tests.processes import start_program

ROOT = Path(__file__).resolve().parent.parent.parent
REQUIREMENT = "sslyze>=6.3,<7"


class ScanTests(TestCase):
    """
    Nobody has to know about TLS to have it right.
    """

    timeout = 600

    async def scanner(self) -> str:
        """
        The interpreter with sslyze.
        """
        there = ROOT / ".venv-sslyze"
        if there.exists():
            return str(there / "bin" / "python")
        # Made under another name: a run that is interrupted leaves nothing that looks complete.
        making = ROOT / f".venv-sslyze-{os.getpid()}"
        made = start_program(self, sys.executable, "-m", "venv", str(making))
        if await made.end(120):
            raise SkipTest(f"there can be no environment for sslyze: {made.output.decode(errors='replace')}")
        installed = start_program(
            self, str(making / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input", REQUIREMENT
        )
        if await installed.end(300):
            await start_program(self, "rm", "-rf", str(making)).end()
            last = installed.output.decode(errors="replace").strip().splitlines()[-1:]
            raise SkipTest(f"sslyze cannot be installed: {''.join(last)}")
        making.rename(there)
        return str(there / "bin" / "python")

    async def test_intermediate(self) -> None:
        """
        The scanner finds nothing to complain of, with clients' certificates and without.
        """
        scanner = await self.scanner()
        site = Site(self)
        # What `echochat certs` makes: of the certificate, too, there is something to complain of.
        authority = Authority.new("the authority")
        issued = authority.issue_server(("localhost", "127.0.0.1"))
        site.install(Pair(issued.certificate, issued.key))
        ca = site.folder.write("own.pem", authority.own.certificate_pem())
        for options in ("", f":clientCA={site.ca}:client=optional"):
            port = await site.listen(Recording(lambda: echo(Recorder())), options)
            scan = start_program(
                self,
                *(scanner, "-m", "sslyze", "--mozilla_config=intermediate", f"--certinfo_ca_file={ca}"),
                f"localhost:{port.getHost().port}",
            )
            code = await scan.end(120)
            self.assertEqual(code, 0, scan.output.decode(errors="replace"))
            await scan.until(rb"localhost:\d+: OK - Compliant")
            await scan.until(rb"Supported curves: +X25519, (secp256r1|prime256v1)\n")
            for version in (rb"1\.0", rb"1\.1"):
                await scan.until(rb"TLS " + version + rb" Cipher Suites:\s+Attempted.*the server rejected all")
            await scan.until(rb"Client Renegotiation DoS Attack: +OK")
            await scan.until(rb"Compression disabled")
