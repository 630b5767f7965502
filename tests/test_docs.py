"""The documents say what is there: every name in them exists, every example is computed, every snippet is run."""

import argparse
import asyncio
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushroom_client.cli.arguments import parse as parse_hushroom
from hushroom_client.e2ee import iv, key_ring, keys, participant_state, replay, sources
from hushroom_client.e2ee.clear_prefix import MAX_CLEAR_BYTES, join_sealed, split_frame
from hushroom_client.e2ee.keys import KeyMaterial, derive_step
from hushroom_client.e2ee.outcomes import Dropped, RejectReason
from hushroom_client.e2ee.sealer import seal_with_iv
from hushroom_common import sealed_frame
from hushroom_common.ids import Codec, Kind, Source
from hushroom_common.signaling import MAX_CLIENT_TEXT, MAX_SDP_CHARS, MAX_SERVER_TEXT, CloseCode, LeaveReason
from hushroom_sfu.__main__ import main as serve
from hushroom_sfu.config import MIN_SECRET_BYTES, Config
from hushroom_sfu.conversation.codec_choice import offered_codecs
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.conversation.session import SDP_CHARS_PER_MESSAGE
from hushroom_sfu.core import keyframe_requests
from hushroom_sfu.core.history import HISTORY_SIZE
from hushroom_sfu.plane import dtls, ice_lite, libsrtp, liveness, srtp
from hushroom_sfu.settings import add_server_flags, read_config
from hushroom_sfu.web import signal_socket, tokens
from hushroom_sfu.web.close_codes import WEBSOCKET_CODES
from tests.common.test_signaling import GOLDEN
from tests.support.processes import hushroom, server_process
from tests.support.server import running_server

ROOT = Path(__file__).parents[1]
PROTOCOL = ROOT / "docs" / "protocol.md"
SEALED_FRAMES = ROOT / "docs" / "sealed-frames.md"
README = ROOT / "README.md"
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/vectors/*/README.md")})


def code_blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


def prose(document: Path) -> str:
    """A document as one line, without its code blocks: sentences are wherever their lines end."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\s+", " ", text)


def rows(document: Path, columns: int) -> Iterator[list[str]]:
    """The rows of all tables with so many columns, headers included."""
    for line in document.read_text().splitlines():
        if line.startswith("|"):
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if len(cells) == columns:
                yield cells


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(document: Path) -> None:
    sources = {path: path.read_text() for path in ROOT.glob("tests/**/*.py")}
    text = prose(document)
    for path, test in re.findall(r"`((?:tests|docs|client|common|sfu|\.ci)/[\w./*-]*)(?:::(\w+))?`", text):
        assert list(ROOT.glob(path.rstrip("/"))), f"{document.name} names {path}"
        if test:
            assert f"def {test}(" in sources[ROOT / path], f"{document.name} names {path}::{test}"
    for test in re.findall(r"`(?:::)?(test_\w+)(?:\(\))?`", text):
        assert any(f"def {test}(" in source for source in sources.values()), f"{document.name} names {test}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if not re.match(r"[a-z]+:", target):
            path = (document.parent / target.partition("#")[0]).resolve()
            assert path.exists(), f"{document.name} links to {target}"


def test_decisions_are_numbered_without_gaps_and_say_where_they_stand() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text()
        assert text.startswith(f"# {int(path.name[:4])}. ")
        for heading in ("## Context", "## Decision", "## Consequences", "## Rejected"):
            assert heading in text, f"{path.name} lacks {heading}"


# --- the protocol ---------------------------------------------------------------------------------------------------


def test_the_protocols_examples_are_the_golden_texts() -> None:
    """Which `tests/common/test_signaling.py` holds against the code, both ways."""
    assert sorted(block.rstrip("\n") for block in code_blocks(PROTOCOL, "json")) == sorted(text for _, text in GOLDEN)


def test_every_code_is_listed_with_its_number() -> None:
    listed = {cells[0].strip("`"): cells[1] for cells in rows(PROTOCOL, 4) if cells[0].startswith("`")}
    assert listed == {code.value: str(WEBSOCKET_CODES[code]) for code in CloseCode}


@pytest.mark.parametrize("words", [Kind, Source, Codec, LeaveReason], ids=lambda words: words.__name__)
def test_every_word_of_a_field_is_listed(words: type[Kind] | type[Source] | type[Codec] | type[LeaveReason]) -> None:
    (listed,) = (cells[1] for cells in rows(PROTOCOL, 2) if cells[1].startswith(f"`{next(iter(words)).value}`"))
    assert listed == ", ".join(f"`{word.value}`" for word in words)


def grouped(number: int) -> str:
    """65536 as 65 536."""
    return f"{number:,}".replace(",", " ")


LIMITS, CONFIG = Limits(), Config(is_open_to_network=True)


@pytest.mark.parametrize(
    "sentence",
    [
        f"at most **{grouped(MAX_CLIENT_TEXT)} bytes** from a client and {grouped(MAX_SERVER_TEXT)} characters",
        f"1 to {grouped(MAX_SDP_CHARS)} characters",
        f"pings every {CONFIG.heartbeat_s:g} s",
        f"up to {signal_socket._MAX_PINGS_PER_S} a second",
        f"the server's secret ({MIN_SECRET_BYTES} bytes or more)",
        f"{tokens.LEEWAY_S:g} s of leeway",
        f"| a client's message | {grouped(CONFIG.max_message_bytes)} bytes |",
        f"| messages | {LIMITS.messages_per_s} a second |",
        f"one more for each {grouped(SDP_CHARS_PER_MESSAGE)} characters of SDP",
        f"| participants a room | {LIMITS.participants_per_room} |",
        f"| tracks a participant | {LIMITS.tracks_per_participant} |",
        f"| seats a subscriber * | {LIMITS.seats_per_subscriber} |",
        f"1, 2, 4, … up to {LIMITS.seats_per_subscriber}",
        f"| WebSockets that have not joined | {LIMITS.unjoined_connections} |",
        f"| time to `join` or `resume` | {LIMITS.join_timeout_s:g} s |",
        f"| time to resume | {LIMITS.resume_window_s:g} s |",
        f"{signal_socket.MAX_QUEUED_MESSAGES}, or {grouped(signal_socket.MAX_QUEUED_CHARS)} characters",
        f"| silence of a leg * | {liveness.SILENT_S:g} s |",
        f"| SSRCs a leg * | {srtp.MAX_SSRCS} |",
        f"At most {srtp.MAX_SSRCS} SSRCs over a leg's life",
        f"RTP packets of at most {libsrtp.MAX_PACKET_BYTES} bytes after SRTP",
        f"its DTLS handshake within {dtls.HANDSHAKE_LIMIT_S:g} s of that",
        f"stops sending {ice_lite.CONSENT_S:g} s after the last valid check",
        f"after {ice_lite.PATH_SILENT_S:g} s without a packet on the old one",
        f"at most every {keyframe_requests.MIN_INTERVAL_S * 1000:g} ms a track",
        f"{HISTORY_SIZE[Kind.VIDEO]} packets of a video and {HISTORY_SIZE[Kind.AUDIO]} of a sound",
    ],
)
def test_the_protocols_numbers_are_the_codes(sentence: str) -> None:
    assert sentence in prose(PROTOCOL)


def test_the_payload_types_are_those_that_are_offered() -> None:
    numbers = {codec.name.lower(): codec.payload_type for kind in Kind for codec in offered_codecs(kind)}
    assert (
        f"Offered are Opus ({numbers['opus']}), and VP8 ({numbers['vp8']}), VP9 ({numbers['vp9']}), "
        f"H.264 ({numbers['h264']}) and AV1 ({numbers['av1']})"
    ) in prose(PROTOCOL)


# --- sealed frames ----------------------------------------------------------------------------------------------------


def test_the_known_keys_are_right() -> None:
    known = [cells for cells in rows(SEALED_FRAMES, 4) if cells[0].startswith(("passphrase", "raw"))]
    assert len(known) == 4
    for name, step, frame_key, next_material in known:
        material = KeyMaterial.of("correct horse" if "correct horse" in name else bytes(range(32)))
        for _ in range(int(step)):
            material = derive_step(material).next_material
        derived = derive_step(material)
        assert frame_key.strip("`") == derived.frame_key.reveal().hex()
        assert next_material.strip("`") == derived.next_material.secret.reveal().hex()


def test_the_known_frames_are_right() -> None:
    known = [cells for cells in rows(SEALED_FRAMES, 5) if cells[1].isdigit()]
    cipher = AESGCM(derive_step(KeyMaterial.of("correct horse")).frame_key.reveal())
    named = {"Opus": Codec.OPUS, "VP8": Codec.VP8, "VP9": Codec.VP9, "H.264": Codec.H264}
    assert {name.split()[0] for name, *_ in known} == named.keys()
    for name, index, iv_hex, frame, sealed in known:
        codec = named[name.split()[0]]
        clear, body = split_frame(bytes.fromhex(frame.strip("`")), codec)
        sealed_body = seal_with_iv(cipher, clear, body, iv=bytes.fromhex(iv_hex.strip("`")), key_index=int(index))
        whole = join_sealed(clear, sealed_body, codec).hex()
        assert sealed.strip("`") == f"{whole[: 2 * len(clear)]}|{whole[2 * len(clear) :]}"


def test_every_outcome_is_in_the_table_of_opening() -> None:
    opening = SEALED_FRAMES.read_text().partition("## 4. Opening")[2].partition("**Replay.**")[0]
    named = set(re.findall(r"\| (?:rejected )?`(\w+)`", opening))
    assert named == {*map(str, Dropped), *map(str, RejectReason)}


@pytest.mark.parametrize(
    "sentence",
    [
        f"A sealed frame is {sealed_frame.OVERHEAD} bytes longer",
        f"The {sealed_frame.IV_SIZE} bytes of **IV**",
        f"| Opus | {sealed_frame.clear_size(Codec.OPUS, is_keyframe=True)} |",
        f"| VP8 | {sealed_frame.clear_size(Codec.VP8, is_keyframe=True)} of a keyframe, "
        f"{sealed_frame.clear_size(Codec.VP8, is_keyframe=False)} of others |",
        f"| VP9 | {sealed_frame.clear_size(Codec.VP9, is_keyframe=True)} |",
        f"`clear` has at most {MAX_CLEAR_BYTES} bytes",
        f"raw bytes (at least {keys.MIN_RAW_BYTES}, better 32",
        f"has {key_ring.RING_SIZE} key indexes, 0 to {key_ring.RING_SIZE - 1}",
        f"no step is derived more than **{key_ring.MAX_SKIP}** ahead",
        f"counts from 0x{iv.FIRST_COUNT:08X} to 0x{iv.LAST_COUNT:08X}",
        f"a window of {replay.WINDOW} counts",
        f"over {replay.MAX_LAG_S:g} s behind the newest",
        f"{grouped(keys.PBKDF2_ITERATIONS)} rounds of PBKDF2",
    ],
)
def test_the_numbers_of_sealed_frames_are_the_codes(sentence: str) -> None:
    assert sentence in prose(SEALED_FRAMES)


def test_the_derivation_is_the_codes() -> None:
    derivation = next(block for block in code_blocks(SEALED_FRAMES, "") if "PBKDF2" in block)
    assert f'salt = "{keys.RATCHET_SALT.decode()}"' in derivation
    assert f"info = {len(keys.HKDF_INFO)} zero bytes" in derivation
    assert not any(keys.HKDF_INFO)
    assert f"{grouped(keys.PBKDF2_ITERATIONS)} rounds, {keys.MATERIAL_BYTES} bytes" in derivation
    assert f"derived_i[:{keys.FRAME_KEY_BYTES}]" in derivation


def test_small_numbers_are_said_in_words() -> None:
    text = prose(SEALED_FRAMES)
    assert (key_ring.DEFAULT_AHEAD, "steps are derived in a thread, four ahead" in text) == (4, True)
    assert (sources.MAX_SOURCES_PER_TRACK, "up to eight sources a track" in text) == (8, True)
    assert (participant_state.COMPLAINT_FRAMES, "five complaints" in text) == (5, True)
    assert (participant_state.COMPLAINT_S, "two a second apart" in text) == (1.0, True)


# --- the README -------------------------------------------------------------------------------------------------------


def readme_commands() -> list[list[str]]:
    """The command lines of its shell blocks."""
    lines = "".join(code_blocks(README, "sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if shlex.split(line, comments=True)]


def test_the_targets_of_make_exist() -> None:
    targets = {command[1] for command in readme_commands() if command[0] == "make"}
    assert {"run", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_the_readmes_commands_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("words.txt", "token.txt"):
        Path(name).write_text("some random words\n")
    seen = [command for command in readme_commands() if command[0] == ".venv/bin/hushroom"]
    assert {command[1] for command in seen} == {"join", "record"}
    for command in seen:
        parse_hushroom(command[1:])


def test_the_readmes_server_commands_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_text("a secret of the tests, 32 bytes or more\n")
    parser = argparse.ArgumentParser()
    add_server_flags(parser)
    seen = [command[1:] for command in readme_commands() if command[0] == ".venv/bin/hushroom-sfu"]
    assert any(arguments[0] == "token" for arguments in seen)
    for arguments in seen:
        if arguments[0] == "token":
            assert serve(arguments[: arguments.index(">")]) == 0
        else:
            assert not read_config(parser.parse_args(arguments), {}).is_open


async def test_the_readmes_two_people_see_and_record_each_other(tmp_path: Path) -> None:
    joins = [command[2:] for command in readme_commands() if command[:2] == [".venv/bin/hushroom", "join"]][:2]
    words = tmp_path / "words.txt"
    words.write_text("some random words\n")
    changed = {"words.txt": words, "out": tmp_path / "out"}
    async with server_process() as server:
        first, second = (["join", *(changed.get(one, one) for one in join), "--server", server.url] for join in joins)
        async with hushroom(*first, "--duration", "30") as ada, hushroom(*second, "--duration", "5") as bo:
            assert "sealed end to end (lk1)" in await ada.says("joined standup as ada")
            await ada.says("bo is here")
            assert await bo.ends() == 0
            assert bo.stdout.split() == [str(tmp_path / "out" / "ada.webm")]
            assert "ada: opening" in bo.errors[-1]
            assert "rejected 0" in bo.errors[-1]
            assert (tmp_path / "out" / "ada.webm").stat().st_size > 10_000


async def test_the_readmes_sdk_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands, twice, as two people: each is shown the other's tracks."""
    (example,) = code_blocks(README, "python")
    assert len([line for line in example.splitlines() if line and not line.startswith("import")]) <= 12
    module: dict[str, object] = {}
    exec(compile(textwrap.dedent(example), "README.md", "exec"), module)
    meet = module["meet"]
    assert callable(meet)
    async with running_server() as server, asyncio.TaskGroup() as tasks:
        people = [tasks.create_task(meet(server.url, name)) for name in ("ada", "bo")]
        shown = ""
        async with asyncio.timeout(20):
            while not all(f"{name} camera" in shown and f"{name} microphone" in shown for name in ("ada", "bo")):
                await asyncio.sleep(0.05)
                shown += capsys.readouterr().out
        for person in people:
            person.cancel()
