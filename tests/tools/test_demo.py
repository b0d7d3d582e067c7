"""The command line of ``make demo`` and ``make airflow``, and what is said of a folder of one's own."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.demo import parse, show_dags
from tools.demo_screen import Screen

ROOT = Path(__file__).resolve().parents[2]


class FoundDags:
    """An Airflow that has read a folder."""

    def __init__(self, dags: list[str], errors: dict[str, str]) -> None:
        self.rest, self._dags, self._errors = self, dags, errors

    def check_alive(self) -> None: ...

    def get(self, path: str, **_: Any) -> dict[str, Any]:
        assert path == "/dags"
        return {"dags": [{"dag_id": name} for name in self._dags]}

    def import_errors(self) -> dict[str, str]:
        return self._errors


def shown(found: FoundDags) -> tuple[bool, str]:
    out = io.StringIO()
    return show_dags(Path("/films"), found, Screen(out)), out.getvalue()


def test_a_folder_of_ones_own_stays_up(tmp_path: Path) -> None:
    options = parse(["--dags", str(tmp_path)])
    assert options.dags == tmp_path
    assert options.keep


def test_without_one_the_examples_run_and_end() -> None:
    options = parse([])
    assert options.dags is None
    assert not options.keep


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--dags", str(tmp_path / "nothing")])
    assert f"{tmp_path / 'nothing'} is not a folder" in capsys.readouterr().err


def test_the_dags_of_a_folder_are_named() -> None:
    assert shown(FoundDags(["films", "adverts"], {})) == (
        False,
        "DAGs of /films: adverts, films; unpause and trigger them in the UI\n",
    )


def test_a_file_that_cannot_be_imported_is_shown_with_its_error() -> None:
    has_failed, text = shown(FoundDags([], {"broken.py": "ModuleNotFoundError: nothing_there"}))
    assert has_failed
    assert "broken.py could not be imported\nModuleNotFoundError: nothing_there" in text


@pytest.mark.parametrize(("given", "asked"), [("DAGS=films", "--keep --dags 'films'"), ("", "--keep")])
def test_make_airflow_hands_the_folder_on(given: str, asked: str) -> None:
    command = ["make", "--dry-run", "--always-make", "airflow", *given.split()]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    line = next(line for line in said.splitlines() if "tools.demo" in line)
    assert line.split("tools.demo")[1].strip() == asked
