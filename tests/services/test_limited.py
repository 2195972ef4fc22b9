"""Limited processes leave nothing behind."""

from docflow.adapters.inspect import limited


def test_a_limited_process_caches_no_bytecode_that_its_limits_would_cut_off() -> None:
    looks = ["-n", "1", "-r", "1", "import sys; assert sys.dont_write_bytecode"]
    assert limited.run("timeit", looks, seconds=30) == 0
