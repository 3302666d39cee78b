import ctypes
import os
import subprocess
import sys

import pytest

from espnet_ros.engines import memory
from espnet_ros.engines.memory import available_memory, return_free_memory

HAS_GLIBC = hasattr(ctypes.CDLL(None), "malloc_trim")


def test_available_memory_is_what_the_system_says_in_mebibytes(tmp_path, monkeypatch):
    report = tmp_path / "meminfo"
    report.write_text("MemTotal:       8000000 kB\nMemFree:         100 kB\nMemAvailable:    2097152 kB\n")
    monkeypatch.setattr(memory, "MEMORY_INFO", report)
    assert available_memory() == 2048.0
    report.write_text("MemTotal:       8000000 kB\n")
    assert available_memory() == float("inf")
    report.unlink()
    assert available_memory() == float("inf")


FRAGMENTS = """
import ctypes
import sys
import threading

from espnet_ros.engines.memory import return_free_memory, share_free_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def resident():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096 / 2**20

def use():
    blocks = [libc.malloc(60_000) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, 60_000)
    for block in blocks[:-1]:  # the last one keeps the arena from shrinking
        libc.free(block)

def count_arenas(path):
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(path.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    with open(path) as stream:
        return stream.read().count("<heap ")

if sys.argv[1] == "shared":
    share_free_memory()
before = resident()
threads = [threading.Thread(target=use) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
grown = resident() - before
return_free_memory()
print(grown, resident() - before, count_arenas(sys.argv[2]))
"""


@pytest.mark.process
@pytest.mark.skipif(not HAS_GLIBC, reason="needs glibc")
@pytest.mark.parametrize("way", ["shared", "apart"])
def test_memory_that_was_freed_goes_back_to_the_system(tmp_path, way):
    command = [sys.executable, "-c", FRAGMENTS, way, str(tmp_path / "arenas.xml")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    grown, kept, arenas = map(float, result.stdout.split())
    assert grown > 40  # MiB, of 57 that each thread had
    assert kept < 5
    assert (arenas <= 2) == (way == "shared")


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    return_free_memory()
