"""Content codings: every round trip, every cut, every bomb."""

import functools
import gzip
import random
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioreq import encodings
from aioreq.config import Limits
from aioreq.encodings import Decoder, accept_encoding, decode_all, decoder_for
from aioreq.errors import DecodeError, LimitExceeded

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.no_loop

LIMITS = Limits()
ROOM = LIMITS.body
TEXT = b"The quick brown fox jumps over the lazy dog. " * 8 + bytes(range(256))


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


gzip_ = functools.partial(gzip.compress, mtime=0)
ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip_,
    "x-gzip": gzip_,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
# The name, the encoded form of TEXT; the last two are chains, applied from left to right.
BODIES = {
    **{name: (name, encode(TEXT)) for name, encode in ENCODE.items()},
    "raw deflate": ("deflate", raw_deflate(TEXT)),
    "gzip, br": ("gzip, br", brotli.compress(gzip_(TEXT))),
    "zstd, gzip": ("zstd, gzip", gzip_(zstd.compress(TEXT))),
}
every_body = pytest.mark.parametrize(("coding", "encoded"), list(BODIES.values()), ids=list(BODIES))


def decoder(coding: str, limits: Limits = LIMITS) -> Decoder:
    made = decoder_for(coding, limits)
    assert made is not None
    return made


def decode(coding: str, data: bytes) -> bytes:
    return decode_all(decoder(coding), data, ROOM)


def pieces(decoder: Decoder, *parts: bytes, max_length: int = encodings.STEP) -> Iterator[bytes]:
    for part in parts:
        yield decoder.decode(part, max_length)
        while not decoder.needs_input:
            yield decoder.decode(b"", max_length)


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("brotli", "compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    encodings._brotli.cache_clear()
    encodings._zstd.cache_clear()
    yield
    encodings._brotli.cache_clear()
    encodings._zstd.cache_clear()


# --- which decoder ---


@pytest.mark.parametrize("coding", ["gzip", b"gzip", "GZip", "x-gzip", " gzip\t", ",gzip, ,", "identity, gzip", "deflate", "br", "zstd"])
def test_a_known_coding(coding: str | bytes) -> None:
    assert isinstance(decoder_for(coding, LIMITS), Decoder)


@pytest.mark.parametrize("coding", ["", "identity", "Identity,", "compress", "gzip, compress", "aws-chunked", b"\xff", "gzip;q=1", "g zip"])
def test_bytes_stay_as_they_are(coding: str | bytes) -> None:
    assert decoder_for(coding, LIMITS) is None


def test_three_codings_are_refused() -> None:
    with pytest.raises(DecodeError, match=r"3 content codings \(gzip, br, gzip\); at most 2"):
        decoder_for("gzip, br, gzip", LIMITS)
    with pytest.raises(DecodeError, match="1000 content codings"):
        decoder_for("gzip," * 1000, LIMITS)


def test_accept_encoding_names_what_is_installed() -> None:
    assert accept_encoding() == "gzip, deflate, br, zstd"


@pytest.mark.usefixtures("without_packages")
def test_without_the_packages_their_codings_are_unknown() -> None:
    assert accept_encoding() == "gzip, deflate"
    assert decoder_for("br", LIMITS) is None
    assert decoder_for("zstd", LIMITS) is None


@pytest.mark.usefixtures("without_packages")
def test_a_brotli_that_cannot_bound_its_output_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    old = type(sys)("brotli")
    old.Decompressor = type("Decompressor", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "brotli", old)
    assert decoder_for("br", LIMITS) is None


# --- round trips ---


@every_body
def test_round_trip(coding: str, encoded: bytes) -> None:
    assert decode(coding, encoded) == TEXT


@every_body
def test_at_every_split(coding: str, encoded: bytes) -> None:
    for cut in range(len(encoded) + 1):
        body = decoder(coding)
        assert b"".join(pieces(body, encoded[:cut], encoded[cut:])) == TEXT
        body.finish()


@every_body
@pytest.mark.parametrize("max_length", [1, 7, 100_000])
def test_byte_by_byte_in_and_in_small_steps_out(coding: str, encoded: bytes, max_length: int) -> None:
    body = decoder(coding)
    out = list(pieces(body, *(encoded[i : i + 1] for i in range(len(encoded))), max_length=max_length))
    body.finish()
    assert b"".join(out) == TEXT
    assert max(map(len, out)) <= max_length
    assert (body.encoded, body.decoded) == (len(encoded), len(TEXT))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@settings(deadline=None)
@given(data=st.data())
def test_any_content_any_split(coding: str, data: st.DataObject) -> None:
    # Long repeats and long noise: outputs beyond a step, inputs beyond a feed.
    noise = random.Random(data.draw(st.integers(0, 9))).randbytes(data.draw(st.sampled_from([0, 1, 40_000])))
    content = data.draw(st.binary()) * data.draw(st.sampled_from([1, 5000])) + noise
    encoded = ENCODE[coding](content)
    cut = data.draw(st.integers(0, len(encoded)))
    body = decoder(coding)
    out = list(pieces(body, encoded[:cut], encoded[cut:], max_length=data.draw(st.sampled_from([4000, 65536, 1 << 20]))))
    body.finish()
    assert b"".join(out) == content
    assert max(map(len, out)) <= 65536


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_sizes_around_a_step(coding: str) -> None:
    # Exactly full steps: nothing more may be promised, nothing lost.
    for size in (1, 16383, 16384, 32767, 32768, 65535, 65536, 65537, 131072):
        content = random.Random(size).randbytes(size)
        for max_length in (size, max(1, size - 1), 32768):
            body = decoder(coding)
            assert b"".join(pieces(body, ENCODE[coding](content), max_length=max_length)) == content
            body.finish()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_a_body_without_a_byte(coding: str) -> None:
    assert decode(coding, b"") == b""


def test_nothing_encoded_twice() -> None:
    assert decode("gzip, gzip", gzip_(gzip_(b""))) == b""
    assert decode("br, gzip", gzip_(b"")) == b""  # no byte for the inner coding


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_many_members(coding: str) -> None:
    encode = ENCODE[coding]
    body = b"".join(encode(bytes([i]) * i) for i in range(200))  # the first one is empty
    expected = b"".join(bytes([i]) * i for i in range(200))
    assert decode(coding, body) == expected
    assert b"".join(pieces(decoder(coding), *(body[i : i + 1] for i in range(len(body))))) == expected


def test_skippable_zstd_frames() -> None:
    skippable = b"\x53\x2a\x4d\x18\x05\0\0\0hello"
    assert decode("zstd", skippable + zstd.compress(b"a") + skippable + zstd.compress(b"b") + skippable) == b"ab"


def test_data_given_before_it_is_wanted_waits() -> None:
    encoded = gzip_(bytes(300_000))
    body = decoder("gzip")
    out = body.decode(encoded[:200]) + body.decode(encoded[200:]) + b"".join(pieces(body, b""))
    body.finish()
    assert out == bytes(300_000)


def test_no_step_of_nothing() -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        decoder("gzip").decode(b"", 0)


def test_finish_comes_last() -> None:
    body = decoder("gzip")
    body.decode(gzip_(bytes(300_000)))
    with pytest.raises(RuntimeError, match="needs_input"):
        body.finish()


# --- cut short, damaged, followed by something ---


@every_body
def test_cut_at_every_byte(coding: str, encoded: bytes) -> None:
    for cut in range(1, len(encoded)):
        with pytest.raises(DecodeError, match=r"ends too early, cut off") as caught:
            decode(coding, encoded[:cut])
        assert TEXT.startswith(caught.value.partial)
        body = decoder(coding)
        whole = b"".join(pieces(body, encoded[:cut]))
        with pytest.raises(DecodeError):
            body.finish()
        assert caught.value.partial == whole
    if "zstd" not in coding:  # which decodes a block only when it is whole
        assert len(whole) > len(TEXT) // 2


def test_cut_inside_the_second_member() -> None:
    for coding in ("gzip", "zstd"):
        first, second = ENCODE[coding](b"one"), ENCODE[coding](b"two")
        for cut in range(1, len(second)):
            with pytest.raises(DecodeError) as caught:
                decode(coding, first + second[:cut])
            assert caught.value.partial.startswith(b"one")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_every_byte_damaged(coding: str) -> None:
    # Both have checksums; what a flipped bit leaves valid (a time stamp, a reserved flag) must leave the content alone.
    content = random.Random(1).randbytes(64)
    encoded = gzip_(content) if coding == "gzip" else zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})
    refused = 0
    for i in range(len(encoded)):
        damaged = bytearray(encoded)
        damaged[i] ^= 0x41
        try:
            out = decode(coding, bytes(damaged))
        except DecodeError:
            refused += 1
        else:
            assert out == content
    assert refused >= len(content)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_partial_holds_what_came_before_the_damage(coding: str) -> None:
    content = random.Random(2).randbytes(200_000).hex().encode()
    encoded = bytearray(ENCODE[coding](content))
    damage = len(encoded) * 3 // 4
    encoded[damage:] = b"\xff" * (len(encoded) - damage)
    with pytest.raises(DecodeError) as caught:
        decode(coding, bytes(encoded))
    assert len(caught.value.partial) >= 100_000  # zstd decodes blocks of 128 KiB
    assert caught.value.partial[:100_000] == content[:100_000]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@settings(deadline=None)
@given(garbage=st.binary(min_size=1))
def test_garbage_is_an_error(coding: str, garbage: bytes) -> None:
    try:
        decode(coding, garbage)
    except DecodeError:
        return
    assert coding in ("deflate", "br")  # no magic number: some noise is a valid stream


@every_body
def test_bytes_behind_the_end(coding: str, encoded: bytes) -> None:
    for parts in ([encoded + b"junk"], [encoded, b"junk"], [encoded, b"j", b"unk!!"]):
        body = decoder(coding)
        with pytest.raises(DecodeError, match="not valid"):
            list(pieces(body, *parts))
        with pytest.raises(DecodeError, match="not valid"):  # it stays broken
            body.decode(b"")
        with pytest.raises(DecodeError, match="not valid"):
            body.finish()


def test_zeros_behind_gzip() -> None:
    encoded = gzip_(TEXT)
    assert decode("gzip", encoded + bytes(1000)) == TEXT
    assert b"".join(pieces(decoder("gzip"), encoded, b"\0", b"\0\0")) == TEXT
    for parts in ([encoded + b"\0" + encoded], [encoded, b"\0", encoded], [encoded, b"\0\0x"]):
        with pytest.raises(DecodeError, match="behind the zeros"):
            list(pieces(decoder("gzip"), *parts))
    with pytest.raises(DecodeError):
        decode("gzip", bytes(10))


def test_a_deflate_stream_that_begins_like_the_other_format() -> None:
    # A stored block whose unused header bits are set: its first byte is that of a zlib header, its second isn't.
    stored = b"\x78\x01\x00\xfe\xffa\x03\x00"
    assert zlib.decompress(stored, wbits=-15) == b"a"
    with pytest.raises(DecodeError):
        decode("deflate", stored)  # 0x7801 is a valid zlib header: it wins
    stored = b"\x78\x02\x00\xfd\xffab\x03\x00"
    assert decode("deflate", stored) == b"ab"
    assert b"".join(pieces(decoder("deflate"), *(stored[i : i + 1] for i in range(len(stored))))) == b"ab"


# --- zstd's windows and frames ---


def zstd_frame(window_log: int, content: bytes) -> bytes:
    compressor = zstd.ZstdCompressor(
        options={zstd.CompressionParameter.window_log: window_log, zstd.CompressionParameter.content_size_flag: 0}
    )
    return compressor.compress(content) + compressor.flush()


def test_a_window_of_8_mib_is_the_largest() -> None:
    assert decode("zstd", zstd_frame(23, TEXT)) == TEXT
    for log in (24, 27):
        frame = zstd_frame(log, TEXT)
        for parts in ([frame], [frame[i : i + 1] for i in range(len(frame))]):
            with pytest.raises(DecodeError, match=f"window of {1 << log} bytes; RFC 9659 allows 8388608"):
                list(pieces(decoder("zstd"), *parts))


def test_the_window_counts_however_the_frame_is_cut() -> None:
    # A small content with its size told, and a window far larger: decoded whole, the library wouldn't look at the window.
    block = bytes([5 << 3 | 1, 0, 0]) + b"hello"
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x80, 17 << 3]) + (5).to_bytes(4, "little") + block
    assert zstd.decompress(frame) == b"hello"
    for parts in ([frame], [frame[:4], frame[4:]], [frame[i : i + 1] for i in range(len(frame))]):
        with pytest.raises(DecodeError, match="window of 134217728 bytes"):
            list(pieces(decoder("zstd"), *parts))
    small = b"\x28\xb5\x2f\xfd" + bytes([0x80, 0]) + (5).to_bytes(4, "little") + block
    assert decode("zstd", small) == b"hello"


def test_a_single_segment_has_its_content_as_window() -> None:
    blocks = bytes([2, 0, 16, 0])  # 128 KiB of zeros
    for size in (8 << 20, 9 << 20):
        count = size >> 17
        frame = b"\x28\xb5\x2f\xfd\xa0" + size.to_bytes(4, "little") + blocks * (count - 1) + bytes([3, 0, 16, 0])
        assert zstd.decompress(frame) == bytes(size)
        if count == 64:
            assert decode("zstd", frame) == bytes(size)
        else:
            with pytest.raises(DecodeError, match=f"window of {size} bytes"):
                decode("zstd", frame)


def test_a_flood_of_tiny_zstd_frames() -> None:
    with pytest.raises(DecodeError, match="too many frames"):
        decode("zstd", zstd.compress(b"") * 2000)
    assert decode("zstd", zstd.compress(b"x" * 10) * 900) == b"x" * 9000


# --- limits ---


def test_the_body_limit_is_exact() -> None:
    encoded = gzip_(bytes(100_000))
    assert decode_all(decoder("gzip"), encoded, 100_000) == bytes(100_000)
    with pytest.raises(LimitExceeded, match=r"decodes to more than 99999: .*Limits\(body") as caught:
        decode_all(decoder("gzip"), encoded, 99_999)
    assert caught.value.limit == "body"
    assert decode_all(decoder("gzip"), gzip_(b""), 0) == b""


def test_the_ratio_counts_from_8_mib_on() -> None:
    limits = Limits(ratio=2)
    assert decode_all(decoder("br", limits), brotli.compress(bytes(8 << 20)), ROOM) == bytes(8 << 20)
    with pytest.raises(LimitExceeded, match=r"more than 2 times its size.*Limits\(ratio") as caught:
        decode_all(decoder("br", limits), brotli.compress(bytes((8 << 20) + 1)), ROOM)
    assert caught.value.limit == "ratio"
    assert decode_all(decoder("br", Limits(ratio=10**9)), brotli.compress(bytes(9 << 20)), ROOM) == bytes(9 << 20)


def test_the_ratio_counts_inside_a_chain() -> None:
    # Half a million empty members: nothing comes out, but the work is done.
    body = decoder("gzip, br")
    with pytest.raises(LimitExceeded) as caught:
        list(pieces(body, brotli.compress(gzip_(b"") * 500_000, quality=5)))
    assert caught.value.limit == "ratio"
    assert body.decoded == 0
    with pytest.raises(LimitExceeded):  # and it stays refused
        body.decode(b"")


def test_repr_tells_the_state() -> None:
    body = decoder("gzip, br")
    list(pieces(body, BODIES["gzip, br"][1]))
    assert repr(body) == f"<Decoder gzip, br: {len(BODIES['gzip, br'][1])} to {len(TEXT)} bytes>"


# --- bombs ---

MIB = 1 << 20


def zeros(compress: Callable[[bytes], bytes], finish: Callable[[], bytes]) -> bytes:
    block = bytes(MIB)
    return b"".join([compress(block) for _ in range(512)] + [finish()])


@functools.cache
def bomb(kind: str) -> bytes:
    """512 MiB of zeros."""
    if kind == "gzip":
        gzipped = zlib.compressobj(9, wbits=31)
        return zeros(gzipped.compress, gzipped.flush)
    if kind == "deflate":
        return bomb("gzip")[10:-8]  # without gzip's head and checksum: bare deflate data
    if kind == "gzip, gzip":
        return gzip_(bomb("gzip"))
    if kind == "br":
        brotlied = brotli.Compressor(quality=5)
        return zeros(brotlied.process, brotlied.finish)
    # zstd: one frame of 128 KiB blocks of one repeated byte, 4 bytes each.
    return b"\x28\xb5\x2f\xfd" + bytes([0, 13 << 3]) + bytes([2, 0, 16, 0]) * 4095 + bytes([3, 0, 16, 0])


READ = """
import sys
from aioreq.config import Limits
from aioreq.encodings import accept_encoding, decode_all, decoder_for
from aioreq.errors import LimitExceeded

def memory(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024

accept_encoding()  # imports what there is
coding, how = sys.argv[1:]
body = sys.stdin.buffer.read()
before = memory("VmRSS")
if how == "whole":
    try:
        decode_all(decoder_for(coding, Limits()), body, Limits().body)
    except LimitExceeded as error:
        told = error.limit
else:
    decoder = decoder_for(coding, Limits(ratio=10**9))
    told = len(decoder.decode(body))
    while not decoder.needs_input:
        told += len(decoder.decode(b"", 1 << 30))
    decoder.finish()
print(told, memory("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("how", ["whole", "streamed"])
@pytest.mark.parametrize(("kind", "most"), [("gzip", 512), ("deflate", 512), ("gzip, gzip", 16), ("br", 16), ("zstd", 16.1)])
def test_a_bomb_of_512_mib_costs_little_memory(kind: str, most: float, how: str) -> None:
    body = bomb(kind)
    assert len(body) <= most * 1024
    done = subprocess.run([sys.executable, "-c", READ, kind, how], input=body, capture_output=True, check=True)
    told, grown = done.stdout.split()
    assert told.decode() == ("ratio" if how == "whole" else str(512 * MIB))
    window = {"br": 16, "zstd": 8}.get(kind, 0)
    assert int(grown) < (16 + window) * MIB
