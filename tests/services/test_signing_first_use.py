"""The parser below pyHanko prepares itself at first use: processes whose first signatures come all at once."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tsa import require_tool

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.pades import PadesSigner
from docflow.adapters.signing.verify import PdfVerifier
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Blank, Box, SignatureOrder, Stamp, Trust
from tests.tsa import Tsa

folder = Path(sys.argv[1])
authority = DemoAuthority(folder / "keys")
key = authority.issue("chutich", "Nguyễn Văn Hùng", "UBND")
tsa = Tsa(folder)
trust = Trust("t", (authority.root_certificate.read_text(),), (tsa.root,))

async def transport(query):
    return tsa.honest(query)

signer = PadesSigner(transport=transport, trust=lambda: trust)
barrier = Barrier(8)
sys.setswitchinterval(1e-5)

def one(number):
    target = folder / f"{number}.pdf"
    stamp = Stamp(Box(1, 300, 100, 170, 70), None, ("Ký bởi: Nguyễn Văn Hùng",))
    blank = Blank("docflow_blank_number", "number", Box(1, 100, 600, 60, 18))
    order = SignatureOrder(f"f{number}", Level.B_LT, "", datetime.now(UTC), stamp=stamp, blanks=(blank,))
    barrier.wait()
    made = signer.sign(folder / "letter.pdf", target, key=key, order=order)
    return made.level is Level.B_LT and PdfVerifier().verify(target, "application/pdf", trust)[0].trusted

with ThreadPoolExecutor(8) as pool:
    assert all(pool.map(one, range(8)))
"""


@pytest.mark.parametrize("attempt", range(4))
def test_the_first_signatures_of_a_process_may_come_all_at_once(
    tmp_path: Path, letter: Callable[[], bytes], attempt: int
) -> None:
    require_tool("openssl", "openssl")
    (tmp_path / "letter.pdf").write_bytes(letter())
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-1000:]
