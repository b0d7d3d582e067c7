"""``prices`` and ``estimate`` on the command line: tables for people, JSON for machines, exit codes for scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.__main__ import main
from airflow_provider_wan.client.costs import shipped_prices

SHOTS = """id,mode,prompt,duration,video,model
boat,,A boat,5,,
paint,video_edit,Paint it,0,https://media.example.com/v.mp4,
three,,A boat,-1,,wan3.0-video
"""
OWN = [{"vendor": "freepik", "amount": 0.5, "currency": "EUR", "source": "our contract"}]


@pytest.fixture
def shots(tmp_path: Path) -> str:
    file = tmp_path / "shots.csv"
    file.write_text(SHOTS)
    return str(file)


@pytest.fixture
def own(tmp_path: Path) -> str:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(OWN))
    return str(file)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code: Any = 0
    try:
        main(argv)
    except SystemExit as exit_:
        code = exit_.code
    out, err = capsys.readouterr()
    return code, out, err


def report(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, Any]:
    code, out, _ = run(capsys, *argv, "--output", "json")
    return code, json.loads(out)


def test_the_table_names_price_date_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "prices", "--vendor", "dashscope", "--region", "ap-southeast-1", "--model", "wan3.0*")
    assert code == 0
    rows = [[cell.strip() for cell in line.split("|")] for line in out.splitlines() if line.startswith("dashscope")]
    assert rows[0] == [
        "dashscope", "wan3.0-video", "ap-southeast-1", "480P", "0.05 USD", "billed second", "2026-10-09", "[1]",
    ]  # fmt: skip
    assert len(rows) == 6
    assert "  [1] https://github.com/swf-cmd/videogen" in out


def test_json_holds_every_row_as_the_table_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = report(capsys, "prices")
    assert code == 0
    assert [{name: row[name] for name in row if name != "is_own"} for row in rows] == [
        row.to_dict() for row in shipped_prices()
    ]


def test_own_prices_come_first(capsys: pytest.CaptureFixture[str], own: str) -> None:
    code, out, _ = run(capsys, "prices", "--vendor", "freepik", "--prices", own)
    assert code == 0
    assert "0.5 EUR" in out
    assert "own [1]" in out
    assert "[1] our contract" in out


def test_one_model_is_found_by_its_snapshot(capsys: pytest.CaptureFixture[str]) -> None:
    _, rows = report(capsys, "prices", "--model", "wan2.7-t2v-2026-06-12")
    assert {row["model"] for row in rows} == {"wan2.7-t2v"}


def test_a_file_is_priced_row_by_row(capsys: pytest.CaptureFixture[str], shots: str) -> None:
    code, out, _ = run(capsys, "estimate", shots)
    assert code == 0
    assert "boat" in out
    assert "0.75 USD" in out
    assert out.rstrip().endswith("3 videos: at most 9.75 USD")


def test_a_file_is_priced_for_machines(capsys: pytest.CaptureFixture[str], shots: str) -> None:
    code, found = report(capsys, "estimate", shots, "--region", "cn-beijing", "--defaults", '{"resolution": "720P"}')
    assert code == 0
    assert [(item["id"], item["amount"], item["is_upper_bound"]) for item in found["items"]] == [
        ("boat", 3.0, False),
        ("paint", 12.0, True),
        ("three", 18.0, True),
    ]
    assert found["sums"] == [{"amount": 33.0, "currency": "CNY"}]
    assert (found["videos"], found["without_price"], found["is_refused"]) == (3, 0, False)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--max-cost", "10"], 0),
        (["--max-cost", "9.75 USD"], 0),
        (["--max-cost", "9.74"], 2),
        (["--max-cost", "100 CNY"], 2),
        (["--max-cost", "100 CNY", "--on-unknown-price", "allow"], 0),
        (["--vendor", "freepik", "--max-cost", "100"], 1),
        (["--max-cost", "cheap"], 1),
        (["--vendor", "frepik"], 1),
        (["--defaults", "[]"], 1),
        (["--defaults", '{"resolution": "4K"}'], 1),
        (["--conn", "none", "--vendor", "gccai"], 1),
    ],
)
def test_the_exit_code_says_what_a_script_needs(
    capsys: pytest.CaptureFixture[str], shots: str, options: list[str], code: int
) -> None:
    found, out, err = run(capsys, "estimate", shots, *options)
    assert found == code
    assert bool(err) is (code != 0)
    # Above the limit, the table is there all the same.
    assert ("3 videos:" in out) is (code != 1)


def test_unknown_prices_are_said_and_refused_under_a_limit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "shots.jsonl"
    file.write_text('{"prompt": "A boat"}\n{"prompt": "A ship"}\n')
    code, out, _ = run(capsys, "estimate", str(file), "--vendor", "freepik")
    assert code == 0
    assert "2 videos: 2 without a known price, the first: no price of wan-2-7 at freepik is known" in out
    code, _, err = run(capsys, "estimate", str(file), "--vendor", "freepik", "--max-cost", "5")
    assert code == 2
    assert "2 of 2 videos cannot be held to max_cost" in err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "estimate", str(tmp_path / "none.csv"))
    assert code == 1
    assert "none.csv cannot be read" in err


def test_the_connections_vendor_region_and_prices_hold(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shots: str, own: str
) -> None:
    extra = {"vendor": "dashscope", "prices": [{"amount": 1, "currency": "EUR"}]}
    monkeypatch.setenv("AIRFLOW_CONN_WAN_OWN", json.dumps({"conn_type": "wan", "password": "sk-x", "extra": extra}))
    code, found = report(capsys, "estimate", shots, "--conn", "wan_own")
    assert code == 0
    assert found["sums"] == [{"amount": 55.0, "currency": "EUR"}]


def test_many_rows_are_cut_for_people_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "shots.jsonl"
    file.write_text("".join(f'{{"prompt": "Boat {n}", "duration": 2}}\n' for n in range(150)))
    _, out, _ = run(capsys, "estimate", str(file))
    assert "… and 50 more rows" in out
    assert "150 videos: 45.00 USD" in out
    _, found = report(capsys, "estimate", str(file))
    assert len(found["items"]) == 150
