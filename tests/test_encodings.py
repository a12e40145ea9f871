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
from aioreq.encodings import Decoder, WholeBody, accept_encoding, decoder_for
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
brotli_: Callable[[bytes], bytes] = functools.partial(brotli.compress, quality=5)  # the best one takes its time
ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip_,
    "x-gzip": gzip_,
    "deflate": zlib.compress,
    "br": brotli_,
    "zstd": zstd.compress,
}
# The name, the encoded form of TEXT; the last two are chains, applied from left to right.
BODIES = {
    **{name: (name, encode(TEXT)) for name, encode in ENCODE.items()},
    "raw deflate": ("deflate", raw_deflate(TEXT)),
    "gzip, br": ("gzip, br", brotli_(gzip_(TEXT))),
    "zstd, gzip": ("zstd, gzip", gzip_(zstd.compress(TEXT))),
}
every_body = pytest.mark.parametrize(("coding", "encoded"), list(BODIES.values()), ids=list(BODIES))


def decoder(coding: str, limits: Limits = LIMITS) -> Decoder:
    made = decoder_for(coding, limits)
    assert made is not None
    return made


def decode_all(decoder: Decoder, data: bytes, max_length: int) -> bytes:
    content = WholeBody(decoder, data, max_length).run()
    assert content is not None
    return content


def decode(coding: str, data: bytes) -> bytes:
    return decode_all(decoder(coding), data, ROOM)


def pieces(decoder: Decoder, *parts: bytes, max_length: int = encodings.STEP) -> Iterator[bytes]:
    for part in parts:
        yield decoder.decode(part, max_length)
        while not decoder.needs_input:
            yield decoder.decode(b"", max_length)


def forget_packages() -> None:
    for package in (encodings._zlib, encodings._brotli, encodings._zstd):
        package.cache_clear()


@pytest.fixture(scope="module", params=["zlib", "zlib-ng"], autouse=True)
def zlib_package(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test with each package that inflates."""
    if request.param == "zlib-ng":
        pytest.importorskip("zlib_ng")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "zlib":
            patch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
        forget_packages()
        assert encodings._zlib().__name__ == {"zlib": "zlib", "zlib-ng": "zlib_ng.zlib_ng"}[request.param]
        yield request.param
    forget_packages()


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Packages that can't be imported any more."""

    def block(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)
        forget_packages()

    yield block
    monkeypatch.undo()
    forget_packages()


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


ZSTD = ("compression.zstd", "backports.zstd")


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        (("brotli",), "gzip, deflate, zstd"),
        (ZSTD, "gzip, deflate, br"),
        (("brotli", *ZSTD, "zlib_ng.zlib_ng"), "gzip, deflate"),
    ],
)
def test_without_the_packages_their_codings_are_unknown(missing: tuple[str, ...], left: str, blocked: Callable[..., None]) -> None:
    blocked(*missing)
    assert accept_encoding() == left
    for coding in ("gzip", "deflate", "br", "zstd"):
        assert (decoder_for(coding, LIMITS) is not None) == (coding in left)
    assert decode("gzip", gzip_(TEXT)) == decode("deflate", zlib.compress(TEXT)) == TEXT


def test_a_brotli_that_cannot_bound_its_output_is_not_used(monkeypatch: pytest.MonkeyPatch, blocked: Callable[..., None]) -> None:
    old = type(sys)("brotli")
    old.Decompressor = type("Decompressor", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "brotli", old)
    blocked()
    assert accept_encoding() == "gzip, deflate, zstd"
    assert decoder_for("br", LIMITS) is None


def test_what_inflates_is_imported_with_the_first_body() -> None:
    code = (
        "import sys, aioreq; aioreq.Client(); from aioreq import encodings; from aioreq.config import Limits\n"
        "def there(): return sorted({'zlib_ng', 'aioreq.codings'} & set(sys.modules))\n"
        "print(there()); encodings.decoder_for('gzip', Limits()); print(there())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    before, after = done.stdout.splitlines()
    assert before == "[]"
    assert "aioreq.codings" in after


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


def gzip_head(flags: int, fields: bytes) -> bytes:
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(4) + b"\0\xff" + fields
    return head + (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little") if flags & 2 else head


@pytest.mark.parametrize("flags", range(32))
def test_every_field_of_gzip_s_head(flags: int) -> None:
    # RFC 1952 section 2.3: a hint, a checksum of the head, an extra field, a name, a comment.
    fields = (b"\x05\0extra" if flags & 4 else b"") + (b"name\0" if flags & 8 else b"") + (b"comment\0" if flags & 16 else b"")
    encoded = gzip_head(flags, fields) + gzip_(TEXT)[10:]
    assert decode("gzip", encoded) == TEXT
    assert b"".join(pieces(decoder("gzip"), *(encoded[i : i + 1] for i in range(len(encoded))))) == TEXT
    for cut in range(1, len(encoded) - len(gzip_(TEXT)) + 10):
        with pytest.raises(DecodeError, match="ends too early"):
            decode("gzip", encoded[:cut])


def test_what_is_wrong_in_gzip_s_frame() -> None:
    good = gzip_(TEXT)
    for damaged, said in (
        (gzip_head(32, b"") + good[10:], "unknown header flags"),
        (gzip_head(2, b"")[:-1] + b"\0" + good[10:], "header crc mismatch"),
        (b"\x1f\x8b\x07" + good[3:], "unknown compression method"),
        (good[:-8] + b"\0\0\0\0" + good[-4:], "incorrect data check"),
        (good[:-4] + b"\0\0\0\0", "incorrect length check"),
    ):
        with pytest.raises(DecodeError, match=said):
            decode("gzip", damaged)
    with pytest.raises(DecodeError, match="incorrect data check"):
        decode("deflate", zlib.compress(TEXT)[:-1] + b"\0")


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


def test_partial_is_whole_where_only_the_end_is_wrong() -> None:
    for encoded in (gzip_(TEXT) + b"\n", gzip_(TEXT) + gzip_(b"more")[:5], gzip_(TEXT)[:-1]):
        with pytest.raises(DecodeError) as caught:
            decode("gzip", encoded)
        assert caught.value.partial == TEXT


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


# --- work that gives nothing ---


@pytest.mark.parametrize(
    ("coding", "tiny"),
    [("gzip", gzip_(b"")), ("zstd", zstd.compress(b"")), ("zstd", b"\x5f\x2a\x4d\x18\0\0\0\0")],
    ids=["gzip", "zstd", "skippable"],
)
def test_a_flood_of_tiny_members(coding: str, tiny: bytes) -> None:
    assert decode(coding, tiny * 900 + ENCODE[coding](b"end")) == b"end"
    # Wherever it is cut: at the same place.
    said = set()
    for size in (1, 1000, 1 << 20):
        flood = tiny * 3000
        with pytest.raises(DecodeError, match=r"too many (members|frames): \d+ in \d+ bytes") as caught:
            list(pieces(decoder(coding), *(flood[i : i + size] for i in range(0, len(flood), size))))
        said.add(str(caught.value).rpartition(": ")[2])
    assert len(said) == 1


def test_archives_of_small_members_are_read() -> None:
    records = [random.Random(i).randbytes(60) for i in range(5000)]
    assert decode("gzip", b"".join(map(gzip_, records))) == b"".join(records)
    records = [random.Random(i).randbytes(1100) for i in range(2500)]
    assert decode("zstd", b"".join(map(zstd.compress, records))) == b"".join(records)


EMPTY_FIXED_BLOCKS = bytes([0x02, 0x08, 0x20, 0x80, 0x00])  # four of them: 0100000000 each, the lowest bit first
IDLE = {
    "an endless name": ("gzip", b"\x1f\x8b\x08\x08" + bytes(5) + b"\xff", b"name"),
    "empty stored blocks": ("deflate", b"", b"\0\0\0\xff\xff"),
    "empty blocks of Huffman codes": ("deflate", b"", EMPTY_FIXED_BLOCKS),
    "an endless skippable frame": ("zstd", b"\x50\x2a\x4d\x18\xff\xff\xff\xff", b"skip"),
    "empty blocks of zstd": ("zstd", b"\x28\xb5\x2f\xfd\x00\x68", b"\0\0\0"),
    "empty blocks of metadata": ("br", b"\x0c", b"\x06"),
}


@pytest.mark.parametrize(("coding", "head", "repeated"), list(IDLE.values()), ids=list(IDLE))
def test_input_without_output_takes_no_more_steps_than_it_is_long(coding: str, head: bytes, repeated: bytes) -> None:
    body, steps = decoder(coding), 0
    data = head + repeated * (1_000_000 // len(repeated))
    body.decode(data)
    while not body.needs_input:
        assert body.decode(b"") == b""
        steps += 1
    assert body.encoded == len(data)
    assert steps <= len(data) / 16384 + 2
    with pytest.raises(DecodeError, match="ends too early"):
        body.finish()


def test_a_step_ends_where_a_member_ends() -> None:
    # However many members there are, in each layer: no step does the work of many.
    for coding, encoded in (("gzip", gzip_(b"") * 100), ("zstd", zstd.compress(b"") * 100), ("gzip, br", brotli_(gzip_(b"") * 100))):
        body, steps = decoder(coding), 1
        body.decode(encoded)
        while not body.needs_input:
            body.decode(b"")
            steps += 1
        body.finish()
        assert steps >= 100


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
    assert decode_all(decoder("br", limits), brotli_(bytes(8 << 20)), ROOM) == bytes(8 << 20)
    with pytest.raises(LimitExceeded, match=r"more than 2 times its size.*Limits\(ratio") as caught:
        decode_all(decoder("br", limits), brotli_(bytes((8 << 20) + 1)), ROOM)
    assert caught.value.limit == "ratio"
    assert decode_all(decoder("br", Limits(ratio=10**9)), brotli_(bytes(9 << 20)), ROOM) == bytes(9 << 20)


def test_the_ratio_counts_inside_a_chain() -> None:
    # Members of one byte and a long comment: next to nothing comes out, but the work is done.
    member = gzip_head(16, b"c" * 5000 + b"\0") + gzip_(b"a")[10:]
    body = decoder("gzip, br")
    with pytest.raises(LimitExceeded) as caught:
        list(pieces(body, brotli_(member * 2000)))
    assert caught.value.limit == "ratio"
    assert body.decoded < 2000
    with pytest.raises(LimitExceeded):  # and it stays refused
        body.decode(b"")


# --- in parts ---


def test_a_whole_body_in_parts() -> None:
    content = random.Random(3).randbytes(400_000).hex().encode()
    for coding in ("gzip", "deflate", "br", "zstd", "gzip, br"):
        encode = ENCODE[coding] if coding in ENCODE else lambda data: brotli_(gzip_(data))
        for steps in (1, 3):
            body, parts = WholeBody(decoder(coding), encode(content), ROOM), 1
            while (out := body.run(steps)) is None:
                parts += 1
            assert out == content
            assert parts >= 4


def test_a_stopped_body_goes_no_further() -> None:
    made = decoder("gzip")
    body = WholeBody(made, gzip_(bytes(5_000_000)), ROOM)
    assert body.run(3) is None
    assert made.decoded == 3 * encodings.STEP
    body.stop()
    assert body.run() is None
    assert made.decoded == 3 * encodings.STEP


def test_repr_tells_the_state() -> None:
    body = decoder("gzip, br")
    list(pieces(body, BODIES["gzip, br"][1]))
    assert repr(body) == f"<Decoder gzip, br: {len(BODIES['gzip, br'][1])} to {len(TEXT)} bytes>"
