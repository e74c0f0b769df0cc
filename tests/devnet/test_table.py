"""Both screens tell the whole story in words."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from conductor.devnet.table import HAPPENINGS_SHOWN, LiveScreen, PlainScreen, draw
from conductor.devnet.views import Happening, NodeRow, Snapshot

LEADER = NodeRow(
    server_id="node-1",
    role="leader",
    epoch=2,
    serving=True,
    certified_height=41,
    lag=1,
    sequencer="sequencing",
    process="pid 4711",
    gateway="127.0.0.1:20001",
)
KILLED = NodeRow(
    server_id="node-2",
    role="killed",
    epoch=None,
    serving=None,
    certified_height=None,
    lag=None,
    sequencer="backing off",
    process="exit -9",
    gateway="127.0.0.1:20003",
)


def a_snapshot(count: int = 42, happenings: tuple[Happening, ...] = ()) -> Snapshot:
    return Snapshot(
        at_ms=8_250,
        gossiped_count=count,
        payloads=50,
        rows=(LEADER, KILLED),
        happenings=happenings,
    )


def drawn(snapshot: Snapshot) -> list[str]:
    console = Console(file=io.StringIO(), width=140, color_system=None)
    console.print(draw(snapshot))
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_table_has_a_row_of_words_for_each_node() -> None:
    lines = drawn(a_snapshot())

    assert "42 payloads certified and gossiped (50 wanted)" in lines
    assert "node-1 leader 2 yes 41 1 sequencing pid 4711 127.0.0.1:20001" in lines
    assert "node-2 killed - - - - backing off exit -9 127.0.0.1:20003" in lines


def test_table_shows_the_newest_happenings() -> None:
    happenings = tuple(Happening(at, f"event {at};") for at in range(HAPPENINGS_SHOWN + 1))

    text = "\n".join(drawn(a_snapshot(happenings=happenings)))

    assert "event 0;" not in text
    assert all(f"event {at};" in text for at in range(1, HAPPENINGS_SHOWN + 1))


def test_plain_screen_prints_each_happening_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    PlainScreen().happened(Happening(8_250, "node-1 killed"))

    assert capsys.readouterr().out == "   8.25 s  node-1 killed\n"


def test_plain_screen_prints_progress_every_ten_payloads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = PlainScreen()

    for count in (0, 9, 10, 11, 19, 31, 39):
        screen.show(a_snapshot(count))

    assert capsys.readouterr().out.splitlines() == [
        f"   8.25 s  {count} payloads certified and gossiped (50 wanted); "
        "certified height: node-1 41, node-2 -"
        for count in (10, 31)
    ]


def test_live_screen_leaves_its_last_table_behind() -> None:
    console = Console(file=io.StringIO(), width=140, force_terminal=True)

    with LiveScreen(console) as screen:
        screen.show(a_snapshot(49))
        screen.happened(Happening(1, "shown with the next table"))
        screen.show(a_snapshot(50, (Happening(1, "shown with the next table"),)))

    assert isinstance(console.file, io.StringIO)
    assert "shown with the next table" in console.file.getvalue()
    assert "50 payloads" in console.file.getvalue()
