"""The parser below pyHanko prepares itself at first use: processes whose first signatures come all at once."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.pades import PadesSigner

folder = Path(sys.argv[1])
authority = DemoAuthority(folder / "keys")
key = authority.issue("chutich", "Nguyen Van Hung", "UBND")
signer = PadesSigner([authority.root_certificate])
barrier = Barrier(8)
sys.setswitchinterval(1e-5)

def one(number):
    barrier.wait()
    signer.sign(folder / "letter.pdf", folder / f"{number}.pdf", key=key, reason="", field="f")
    return signer.verify(folder / f"{number}.pdf")[0].trusted

with ThreadPoolExecutor(8) as pool:
    assert all(pool.map(one, range(8)))
"""


@pytest.mark.parametrize("attempt", range(4))
def test_the_first_signatures_of_a_process_may_come_all_at_once(
    tmp_path: Path, letter: Callable[[], bytes], attempt: int
) -> None:
    (tmp_path / "letter.pdf").write_bytes(letter())
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
