"""What the readers of damaged recordings share: the message, and decompression that stops at the damage."""

from __future__ import annotations

import bz2
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Tuple, Union

from espnet_ros.evaluation.losses import printable

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_STEP = 1 << 20  # bytes: output of one call, so that no declared size is allocated in advance


class RecordedMessage(NamedTuple):
    """A message as it was recorded.

    Attributes:
        topic: name of its topic.
        kind: its type, such as ``sensor_msgs/msg/Image``.
        time_ns: time of recording in nanoseconds.
        content: the serialised message.
    """

    topic: str
    kind: str
    time_ns: int
    content: Union[bytes, memoryview]


class DamageError(Exception):
    """A part of a file breaks its format's rules. The message says which; readers turn it into a ``Loss``."""


def zstd_module() -> Any:
    """Return the module for Zstandard, which rosbags also uses.

    Raises:
        DamageError: it is not installed.
    """
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # novm: Python 3.14
    except ImportError:
        try:
            from backports import zstd
        except ImportError as error:
            raise DamageError("is compressed with zstd: install backports.zstd") from error
    return zstd


def _new_zstd() -> Any:
    return zstd_module().ZstdDecompressor()


def _new_lz4() -> Any:
    try:
        from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]
    except ImportError as error:
        raise DamageError("is compressed with lz4: install lz4") from error
    return LZ4FrameDecompressor()


_DECOMPRESSORS: Dict[str, Callable[[], Any]] = {"zstd": _new_zstd, "lz4": _new_lz4, "bz2": bz2.BZ2Decompressor}


def unpack_zstd(source: BinaryIO, target: BinaryIO) -> None:
    """Decompress a file up to its end or its first damage.

    Raises:
        DamageError: the data are damaged or end early; what was read before is in the target.
        OSError: a file cannot be read or written.
    """
    decompressor = _new_zstd()
    for data in iter(lambda: source.read(_STEP), b""):
        while data or not (decompressor.needs_input or decompressor.eof):
            if decompressor.eof:  # a file can have several frames
                decompressor = _new_zstd()
            try:
                target.write(decompressor.decompress(data, _STEP))
            except OSError:
                raise
            except Exception as error:  # ZstdError, whose module differs with the version of Python
                raise DamageError(f"its zstd data are damaged before byte {source.tell()}") from error
            data = decompressor.unused_data if decompressor.eof else b""
    if not decompressor.eof:
        raise DamageError(f"its zstd data end early, at byte {source.tell()}")


def decompress(data: bytes, compression: str, limit: int) -> Tuple[bytes, bool]:
    """Decompress a block as far as its data goes.

    Args:
        data: the block, possibly cut short.
        compression: ``zstd``, ``lz4``, ``bz2``; "" or ``none`` for data as it is.
        limit: most bytes to return.

    Returns:
        The content, and whether it is complete.

    Raises:
        DamageError: the compression is unknown, the data contradict themselves, or there are more than ``limit`` bytes.
    """
    if compression in ("", "none"):
        return data[:limit], len(data) >= limit
    if compression not in _DECOMPRESSORS:
        raise DamageError(f"compression must be one of {', '.join(_DECOMPRESSORS)}, is '{printable(compression)}'")
    decompressor = _DECOMPRESSORS[compression]()
    parts: List[bytes] = []
    size = 0
    while not decompressor.eof:
        try:
            part = decompressor.decompress(data, _STEP)
        except Exception as error:  # each library has its own type, and lz4 raises RuntimeError
            raise DamageError(f"its {compression} data are damaged") from error
        data = b""
        parts.append(part)
        size += len(part)
        if size > limit:
            raise DamageError(f"must have {limit} bytes when decompressed, has more")
        if not part and (decompressor.needs_input or decompressor.eof):
            break
    return b"".join(parts), bool(decompressor.eof)
