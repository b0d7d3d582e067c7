"""Rows from lists and files, and the check of all of them before anything is paid."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.batch.items import build_items
from airflow_provider_wan.batch.rows import read_rows
from airflow_provider_wan.batch.targets import Targets
from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.vendors import vendor_of

from .conftest import MakeRounds
from .rounds import is_retryable, row

ROWS: list[dict[str, Any]] = [
    {"id": "a", "prompt": "first, with a comma\nand a line", "duration": 3},
    {"id": "b", "mode": "image_to_video", "first_frame": "https://x.example.com/a.png", "resolution": "720P"},
]
URL = "https://x.example.com/{}.png"


def write(uri: str, content: str, encoding: str = "utf-8") -> str:
    path = ObjectStoragePath(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content.encode(encoding))
    return uri


def as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, sorted({name for item in rows for name in item}))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


FORMS = {
    "jsonl": lambda rows: "\n".join(map(json.dumps, rows)) + "\n\n",
    "ndjson": lambda rows: "\r\n".join(map(json.dumps, rows)),
    "json": lambda rows: json.dumps(rows, indent=1),
    "csv": as_csv,
}


def items_of(source: Any, vendor: str = "dashscope", **defaults: Any) -> list[Any]:
    return build_items(read_rows(source), defaults, vendor_of(vendor), ("x",)).items


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("store", ["file", "memory"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_every_form_of_file_gives_the_items_of_the_list(form: str, store: str, encoding: str, tmp_path: Any) -> None:
    folder = f"file://{tmp_path}" if store == "file" else "memory://rows"
    uri = write(f"{folder}/shots.{form}", FORMS[form](ROWS), encoding)
    assert items_of(uri) == items_of(ROWS) == items_of(json.dumps(ROWS))


def test_lines_may_hold_the_line_ends_of_unicode(tmp_path: Any) -> None:
    rows = [{"prompt": "one\u2028two\x85three\x0bfour"}, {"prompt": "五"}]
    text = "\n".join(json.dumps(item, ensure_ascii=False) for item in rows)
    uri = write(f"file://{tmp_path}/shots.jsonl", text.replace("\x0b", "\\u000b"))
    assert [dict(item) for item in read_rows(uri)] == rows


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("shots.jsonl", '{"prompt": "a"}\n{"prompt": \n', "line 2: is JSON"),
        ("shots.jsonl", '{"prompt": "a"}\n["b"]', "row 2: is an object"),
        ("shots.json", '{"prompt": "a"}', "is a list of objects"),
        ("shots.txt", "a", ".jsonl, .csv, .tsv, .json or .parquet"),
        ("shots.csv", "", "at least one row"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(name: str, content: str, told: str, tmp_path: Any) -> None:
    with pytest.raises(WanRequestError, match=told):
        items_of(write(f"file://{tmp_path}/{name}", content))


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Any) -> None:
    with pytest.raises(WanRequestError, match="UTF-8"):
        items_of(write(f"file://{tmp_path}/shots.csv", "prompt\nMünchen\n", "latin-1"))


def test_cells_are_read_as_what_the_field_is() -> None:
    text = (
        "id,prompt,duration,seed,watermark,mode,reference_images,extra_body\n"
        '1,walk,5,,true,reference_to_video,"[""https://x.example.com/1.png"", ""https://x.example.com/2.png""]",\n'
        '2,run,7,11,,,,"{""parameters"": {""size"": ""x""}}"\n'
    )
    first, second = items_of(write("memory://cells/a.csv", text))
    assert (first.request.duration, first.request.seed, first.request.watermark) == (5, None, True)
    assert [image.url for image in first.request.reference_images] == [URL.format(1), URL.format(2)]
    assert (second.request.seed, second.request.extra_body) == (11, {"parameters": {"size": "x"}})


def test_defaults_are_for_the_modes_that_have_the_field() -> None:
    image, text = items_of(
        [{"mode": "image_to_video", "first_frame": URL.format(1)}, {"prompt": "x", "resolution": "1080P"}],
        audio_url="https://x.example.com/a.mp3",
        resolution="720P",
        duration=4,
    )
    assert (image.request.resolution, image.request.duration) == ("720P", 4)
    assert (text.request.resolution, text.request.audio_url) == ("1080P", "https://x.example.com/a.mp3")


def test_a_default_that_no_mode_has_is_refused() -> None:
    with pytest.raises(WanRequestError, match="resolutoin"):
        items_of([{"prompt": "x"}], resolutoin="720P")


def test_all_rows_are_refused_together_before_the_first_is_paid(rounds: MakeRounds) -> None:
    rows = [row("fine"), row("x", id="two", duration=99), row("y", colour="red"), {"mode": "dance"}, {"id": "five"}]
    batch = rounds(rows)
    error = batch.fails()
    assert not is_retryable(error)
    for told in ("row two: duration", "row 3: colour", "row 4: mode", "row five: prompt"):
        assert told in str(error)
    assert batch.posts() == {}


def test_ids_are_unique_and_zero_is_one() -> None:
    with pytest.raises(WanRequestError, match="'2' in 2 rows"):
        items_of([{"id": 2, "prompt": "a"}, {"prompt": "b"}])
    assert [item.id for item in items_of([{"id": 0, "prompt": "a"}, {"id": " ", "prompt": "b"}])] == ["0", "2"]


def test_two_videos_may_not_land_at_one_place(rounds: MakeRounds, tmp_path: Any) -> None:
    batch = rounds([row("a", id="a/b"), row("b", id="a_b")], store_to=f"file://{tmp_path}/v")
    assert "place of its own" in str(batch.fails())
    assert batch.posts() == {}


@pytest.mark.parametrize(
    ("pattern", "own", "expected"),
    [
        ("s3://b/v", None, "s3://b/v/shot 7.mp4"),
        ("s3://b/v/", None, "s3://b/v/shot 7.mp4"),
        ("s3://b/{index}/{id}-{task_id}.mov", None, "s3://b/1/shot 7-t1.mov"),
        ("s3://b/v", "s3://c/one.mp4", "s3://c/one.mp4"),
        (None, "s3://c/{id}/", "s3://c/shot 7/t1.mp4"),
    ],
)
def test_places(pattern: str | None, own: str | None, expected: str) -> None:
    (item,) = items_of([{"id": "shot 7", "prompt": "a", "store_to": own}])
    assert Targets(pattern).of(item, "t1") == expected


def test_an_id_cannot_leave_its_folder() -> None:
    (item,) = items_of([{"id": "../../x", "prompt": "a"}])
    assert Targets("s3://b/v").of(item, "t1") == "s3://b/v/_.._x.mp4"


def test_a_mistyped_header_is_said_once_with_the_nearest_name(rounds: MakeRounds) -> None:
    batch = rounds([{"promt": f"shot {n}", "prompt": "x"} for n in range(30)])
    error = str(batch.fails())
    assert error.count("promt") == 1
    assert "did you mean 'prompt'?" in error
    assert "in all rows" in error
    assert "promt" in str(batch.cleared(on_invalid_row="skip").fails())
    assert batch.posts() == {}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_file_of_any_spreadsheet_is_read(separator: str, tmp_path: Any) -> None:
    lines = [["id", "prompt", "duration"], ["a", '"one, two; three"', "3"]]
    uri = write(f"file://{tmp_path}/shots.csv", "\r\n".join(separator.join(line) for line in lines))
    (item,) = items_of(uri)
    assert (item.id, item.request.prompt, item.request.duration) == ("a", "one, two; three", 3)


def test_rows_that_break_a_rule_may_be_skipped(rounds: MakeRounds) -> None:
    rows = [row("a"), row("x", duration=99), row("y", colour="red"), row("b")]
    batch = rounds(rows, on_invalid_row="skip", max_in_flight=1)
    summary = batch.run()
    assert (summary["total"], summary["succeeded"], summary["skipped"]) == (2, 2, 2)
    assert batch.billed == ["a", "b"]
    assert batch.statuses == {"1": "succeeded", "2": "skipped", "3": "skipped", "4": "succeeded"}
    assert "duration" in batch.manifest[1]["error_message"]
    assert "colour" in batch.manifest[2]["error_message"]


def test_a_batch_whose_rows_are_all_skipped_fails(rounds: MakeRounds) -> None:
    batch = rounds([row("x", duration=99)], on_invalid_row="skip")
    assert "duration" in str(batch.fails())
    assert batch.posts() == {}


@pytest.mark.parametrize("wrong", [{"store_to": "file:///tmp/one.mp4"}, {"on_invalid_row": "ignore"}], ids=str)
def test_a_wrong_literal_of_the_batch_is_refused_at_parse(rounds: MakeRounds, wrong: dict[str, Any]) -> None:
    with pytest.raises(WanRequestError, match=next(iter(wrong))):
        rounds([row("a")], **wrong).first_round()


def test_takes_are_videos_of_one_row_with_seeds_of_their_own(rounds: MakeRounds, tmp_path: Any) -> None:
    rows = [row("fox", id="f", takes=3, seed=7), row("owl", id="o", seeds=[5, 1]), row("cat", id="c", takes=2)]
    batch = rounds(rows, store_to=f"file://{tmp_path}/clips")
    batch.run()
    seeds = {line["id"]: line.get("seed") for line in batch.manifest}
    assert seeds == {"f-1": 7, "f-2": 8, "f-3": 9, "o-1": 5, "o-2": 1, "c-1": None, "c-2": None}
    assert batch.billed == ["cat"] * 2 + ["fox"] * 3 + ["owl"] * 2
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == sorted(f"{name}.mp4" for name in seeds)
    batch.cleared([row("fox", id="f", takes=4, seed=7), *rows[1:]]).run()
    assert batch.billed == ["cat"] * 2 + ["fox"] * 4 + ["owl"] * 2


@pytest.mark.parametrize(
    "wrong",
    [{"takes": 0}, {"takes": "many"}, {"seeds": []}, {"takes": 2, "seeds": [1]}, {"takes": 2, "seed": "x"}],
    ids=str,
)
def test_wrong_takes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WanRequestError, match=r"row 1: (takes|seed)"):
        items_of([{"prompt": "x", **wrong}])
