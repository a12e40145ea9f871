"""The faults kit does what it says: proved by streams and the standard library's client, never by aioreq's."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import ssl
import zlib

import pytest

from aioreq.testing import Server

from . import FAULTS, HOWS, PHASES, RESPONSES, UPLOAD, How, Phase, Sample, cut_at, cuts, drip

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("sample", RESPONSES.values(), ids=str)
@pytest.mark.parametrize("dripped", [False, True])
def test_another_client_reads_the_samples_as_they_say(sample: Sample, dripped: bool) -> None:
    wire = sample.wire.removeprefix(sample.interim)  # http.client knows no 103
    with Server() as server:
        server.script(*(drip(wire) if dripped else [wire]), FAULTS["close"])
        client = http.client.HTTPConnection(server.host, server.port, timeout=10)
        client.request("GET", "/")
        response = client.getresponse()
        body = response.read()
        client.close()
    coding = response.headers.get("Content-Encoding")
    assert response.status == sample.status
    decoded = gzip.decompress(body) if coding == "gzip" else zlib.decompress(body) if coding == "deflate" else body
    assert decoded == sample.body
    assert sample.interim + sample.head + sample.raw_body == sample.wire


async def broken(phase: Phase, how: How) -> tuple[bytes, type[Exception] | None]:
    """What a client gets of an exchange that breaks: the bytes, and how it ended (None: it was closed)."""
    expected = len(phase.sent + phase.rest) if how == "drip" else len(phase.sent)
    silence = 0.1 if how in ("stall", "drip") else 10  # seconds in which nothing more comes
    async with Server(tls=phase.needs_tls) as server:
        phase.arm(server, how)
        tls = {"ssl": ssl.create_default_context(), "ssl_handshake_timeout": silence} if phase.needs_tls else {}
        received = b""
        try:
            reader, writer = await asyncio.open_connection(server.host, server.port, **tls)  # type: ignore[arg-type]
        except OSError as error:
            return received, type(error)
        try:
            if phase.before != ():
                writer.write(POST % UPLOAD + bytes(UPLOAD))
            while data := await asyncio.wait_for(reader.read(1 << 16), 10 if len(received) < expected else silence):
                received += data
        except (OSError, TimeoutError) as error:
            return received, type(error)
        finally:
            writer.transport.abort()
        return received, None


@pytest.mark.parametrize("phase", [p for p in PHASES if not p.needs_tls], ids=str)
@pytest.mark.parametrize("how", HOWS)
async def test_a_phase_breaks_where_it_says(phase: Phase, how: How) -> None:
    received, ended = await broken(phase, how)
    assert received == phase.sent
    if how == "stall":
        assert ended is TimeoutError
    elif phase.name in ("on-accept", "after-request-head", "during-upload"):
        assert ended in (None, ConnectionResetError)  # closed with unread bytes: the system resets
        assert how == "close" or ended is ConnectionResetError
    else:
        assert ended is (ConnectionResetError if how == "reset" else None)


@pytest.mark.parametrize("phase", [p for p in PHASES if p.needs_tls], ids=str)
@pytest.mark.parametrize("how", HOWS)
async def test_a_handshake_never_ends(phase: Phase, how: How) -> None:
    received, ended = await broken(phase, how)
    assert (received, ended is not None) == (b"", True)
    assert ended is not None
    assert not issubclass(ended, ssl.SSLCertVerificationError)  # it came that far


@pytest.mark.parametrize("phase", [p for p in PHASES if p.rest], ids=str)
async def test_a_dripped_phase_gives_the_whole_response(phase: Phase) -> None:
    assert await broken(phase, "drip") == (RESPONSES["trailers"].wire, TimeoutError)


def test_a_phase_without_a_rest_has_nothing_to_drip() -> None:
    for phase in PHASES:
        if not phase.rest:
            with pytest.raises(ValueError, match=f"nothing to drip in the phase '{phase}'"):
                phase.steps("drip")


def test_phases_cover_the_wire_in_order() -> None:
    sent = [phase.sent for phase in PHASES]
    assert sent == sorted(sent, key=len)
    assert len({phase.name for phase in PHASES}) == len(PHASES)
    assert {phase.sent + phase.rest for phase in PHASES if phase.response_started and not phase.needs_tls} == {RESPONSES["trailers"].wire}


def test_cuts() -> None:
    assert cut_at(b"abc", 2, "reset") == (b"ab", FAULTS["reset"])
    assert cut_at(b"abc", 0) == (FAULTS["close"],)
    assert [steps[0] for n, steps in cuts(b"abc")] == [FAULTS["close"], b"a", b"ab"]
    assert [step for step in drip(b"abc", 2) if isinstance(step, bytes)] == [b"ab", b"c"]
