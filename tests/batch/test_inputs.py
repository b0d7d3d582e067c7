"""Rows whose media are files: beside their table, in a bucket, shared, changed, wrong, gone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_provider_wan.batch.rows import read_rows
from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.inputs.sources import MediaSource
from airflow_provider_wan.sandbox import Sandbox
from tests.inputs.media import picture
from tests.storages import s3, s3_server

from .conftest import MakeRounds


@pytest.fixture(autouse=True)
def shared_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("machine") / "addresses"
    monkeypatch.setattr("airflow_provider_wan.inputs.kept.folder", lambda: folder)


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., list[Path]]:
    def make(count: int, folder: str = "pictures") -> list[Path]:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        paths = [place / f"{number}.png" for number in range(count)]
        for number, path in enumerate(paths):
            path.write_bytes(picture(colour=(number, 7, 7)))
        return paths

    return make


def image_row(name: str, picture: Any, **more: Any) -> dict[str, Any]:
    given = {"mode": "image_to_video", "first_frame": picture, "resolution": "720P", "duration": 3}
    return {"id": name, **given, **more}


def uploads(sandbox: Sandbox) -> list[str]:
    return [item["sha256"] for item in sandbox.uploads()]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def billed(sandbox: Sandbox) -> int:
    return len(sandbox.ledger()["billed"])


TABLES: dict[str, Callable[[Path, list[dict[str, Any]]], Any]] = {
    "shots.csv": lambda path, rows: path.write_text(_separated(rows, ",")),
    "shots.tsv": lambda path, rows: path.write_text(_separated(rows, "\t")),
    "semicolons.csv": lambda path, rows: path.write_text(_separated(rows, ";")),
    "shots.jsonl": lambda path, rows: path.write_text("\n".join(map(json.dumps, rows))),
    "shots.json": lambda path, rows: path.write_text(json.dumps(rows)),
    "shots.parquet": lambda path, rows: parquet.write_table(pa.Table.from_pylist(rows), path),
}


def _separated(rows: list[dict[str, Any]], sign: str) -> str:
    names = list(rows[0])
    return "\n".join([sign.join(names), *(sign.join(str(row[name]) for name in names) for row in rows)])


@pytest.mark.parametrize("table", TABLES)
def test_media_are_relative_to_their_table(
    rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path, pictures: Any, table: str
) -> None:
    paths = pictures(3)
    rows = [image_row(f"r{number}", f"pictures/{number}.png", takes=2) for number in range(3)]
    TABLES[table](tmp_path / table, rows)
    batch = rounds(f"file://{tmp_path}/{table}")
    assert batch.run()["succeeded"] == 6
    assert billed(sandbox) == 6
    assert sorted(uploads(sandbox)) == sorted(map(digest, paths))


def test_a_table_and_its_pictures_in_a_bucket(rounds: MakeRounds, sandbox: Sandbox, s3: Any, pictures: Any) -> None:
    contents = {}
    for path in pictures(4):
        contents[path.name] = path.read_bytes()
        s3.put_object(Bucket="films", Key=f"products/{path.name}", Body=contents[path.name])
    rows = [image_row(path, path) for path in contents]
    s3.put_object(Bucket="films", Key="products/shots.csv", Body=_separated(rows, ",").encode())
    batch = rounds("s3://my_s3@films/products/shots.csv")
    assert batch.run()["succeeded"] == 4
    addresses = [task["body"]["input"]["media"][0]["url"] for task in sandbox.tasks()]
    got = {address.partition("?")[0].rpartition("/")[2]: httpx.get(address, trust_env=False) for address in addresses}
    assert {name: answer.content for name, answer in got.items()} == contents
    assert all("ignature=" in address for address in addresses)
    recorded = json.dumps(batch.store.rows)
    assert not any(address.partition("?")[2] in recorded for address in addresses)


def test_a_clear_reads_the_pictures_and_pays_nothing(rounds: MakeRounds, sandbox: Sandbox, pictures: Any) -> None:
    rows = [image_row(path.stem, str(path)) for path in pictures(3)]
    batch = rounds(rows)
    batch.run()
    batch.instance.max_tries += 1
    assert batch.run()["succeeded"] == 3
    assert (billed(sandbox), len(uploads(sandbox))) == (3, 3)


def test_only_the_row_whose_picture_has_changed_is_paid(rounds: MakeRounds, sandbox: Sandbox, pictures: Any) -> None:
    paths = pictures(3)
    rows = [image_row(path.stem, str(path)) for path in paths]
    batch = rounds(rows)
    batch.run()
    paths[1].write_bytes(picture(colour=(200, 0, 0)))
    batch.instance.max_tries += 1
    batch.run()
    assert (billed(sandbox), len(uploads(sandbox))) == (4, 4)


def test_rows_that_share_a_picture_share_its_upload(rounds: MakeRounds, sandbox: Sandbox, pictures: Any) -> None:
    (path,) = pictures(1)
    batch = rounds([image_row(str(seed), str(path), seed=seed) for seed in range(5)])
    batch.run()
    assert (billed(sandbox), uploads(sandbox)) == (5, [digest(path)])


def test_later_workers_do_not_read_the_pictures_again(
    rounds: MakeRounds, sandbox: Sandbox, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    pieces = MediaSource.pieces

    def counted(self: MediaSource) -> Any:
        read.append(self.written)
        return pieces(self)

    monkeypatch.setattr(MediaSource, "pieces", counted)
    paths = pictures(6)
    batch = rounds([image_row(path.stem, str(path)) for path in paths], max_in_flight=2)
    batch.run()
    assert len(batch.driven.steps) > 1
    # The first worker reads all to check them; each reads what it submits once more at most.
    assert len(read) <= 2 * len(paths)


def test_pictures_that_are_gone_are_not_needed_any_more(rounds: MakeRounds, sandbox: Sandbox, pictures: Any) -> None:
    paths = pictures(3)
    batch = rounds([image_row(path.stem, str(path)) for path in paths])
    batch.run()
    for path in paths:
        path.unlink()
    batch.instance.max_tries += 1
    assert batch.run()["succeeded"] == 3
    assert billed(sandbox) == 3


def test_a_refused_attempt_does_not_forget_the_pictures_of_the_one_before(
    rounds: MakeRounds, sandbox: Sandbox, pictures: Any
) -> None:
    first, second = pictures(2)
    batch = rounds([image_row("first", str(first))])
    batch.run()
    batch.cleared([image_row("second", str(second))], max_cost="0.01 USD").fails()
    first.unlink()
    assert batch.cleared([image_row("first", str(first))]).run()["succeeded"] == 1
    assert billed(sandbox) == 1


def test_a_lost_one_whose_picture_is_gone_stays_in_doubt(rounds: MakeRounds, sandbox: Sandbox, pictures: Any) -> None:
    (path,) = pictures(1)
    content = path.read_bytes()
    batch = rounds([image_row("a", str(path), prompt="a [sandbox drop-answer]")], wan_conn_id="wan_gccai")
    event = batch.first_event()
    path.unlink()
    with pytest.raises(Exception, match="may be billed"):
        batch.goes_on(event)
    assert batch.statuses == {"a": "unknown"}
    path.write_bytes(content)
    assert batch.cleared().run()["succeeded"] == 1
    assert len(batch.created) == 1


def test_all_that_is_wrong_stands_in_one_message(rounds: MakeRounds, sandbox: Sandbox, pictures: Any) -> None:
    good, small, text = pictures(3)
    small.write_bytes(picture(width=60))
    text.write_text("no picture")
    rows = [image_row("good", str(good)), image_row("small", str(small)), image_row("text", str(text))]
    rows.append(image_row("missing", str(good.with_name("no.png"))))
    rows.append(image_row("long", str(good), duration=99))
    with pytest.raises(Exception, match="The batch was not started") as caught:
        rounds(rows).run()
    said = str(caught.value)
    assert "row small: first_frame: has sides of 240 to 8000 pixels" in said
    assert "row text: first_frame: is an image" in said
    assert "row missing: first_frame: is a file that exists" in said
    assert "row long: duration" in said
    assert "row good" not in said
    assert sandbox.ledger()["requests"] == {}
    assert uploads(sandbox) == []


def test_rows_with_wrong_files_can_be_skipped(rounds: MakeRounds, sandbox: Sandbox, pictures: Any) -> None:
    good, bad = pictures(2)
    bad.write_bytes(b"")
    rows = [image_row("good", str(good)), image_row("bad", str(bad))]
    summary = rounds(rows, on_invalid_row="skip", fail_if="all").run()
    assert (summary["succeeded"], billed(sandbox)) == (1, 1)


# -- tables -----------------------------------------------------------------------------------------------


def test_a_parquet_table_has_numbers_gaps_and_lists(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "prompt": "A boat", "takes": 2.0, "duration": 5, "seeds": [1, 2], "reference_images": None},
        {
            "id": "b",
            "prompt": "",
            "takes": float("nan"),
            "duration": None,
            "seeds": None,
            "reference_images": ["x.png"],
        },
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "shots.parquet")
    assert read_rows(f"file://{tmp_path}/shots.parquet") == [
        {"id": "a", "prompt": "A boat", "takes": 2.0, "duration": 5, "seeds": [1, 2]},
        {"id": "b", "reference_images": ["x.png"]},
    ]


def test_what_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "shots.parquet").write_text("prompt\nA boat")
    with pytest.raises(WanRequestError, match="requests: is a Parquet file"):
        read_rows(f"file://{tmp_path}/shots.parquet")


def test_a_list_as_a_template_renders_it(rounds: MakeRounds, sandbox: Sandbox) -> None:
    rows = [{"id": "it's", "prompt": "A boat", "resolution": "720P", "watermark": True}]
    assert read_rows(str(rows)) == rows
    batch = rounds("{{ params.rows }}")
    driven = batch.attempt()
    driven.context["params"] = {"rows": rows}
    assert driven.run()["succeeded"] == 1


def test_a_table_is_found_beside_the_dag(
    rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.sdk.DAG.folder", str(tmp_path))
    pictures(1)
    TABLES["shots.csv"](tmp_path / "shots.csv", [image_row("a", "pictures/0.png")])
    assert rounds("shots.csv").run()["succeeded"] == 1


__all__ = ["s3", "s3_server"]
