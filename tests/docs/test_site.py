"""README, site and package index: short enough, complete, and without a link that leads nowhere."""

from __future__ import annotations

import posixpath
import re
import tomllib
from pathlib import Path

import pytest

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.costs import CostEstimate
from airflow_provider_wan.client.requests import ImageToVideoRequest
from airflow_provider_wan.hooks.costs import AccountCosts
from tools import docs_site, snippets

ROOT = Path(__file__).resolve().parents[2]
README_WORDS = 900
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return docs_site.pages()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= README_WORDS


def test_the_readme_leads_to_every_page_that_users_need() -> None:
    links = set(LINK.findall((ROOT / "README.md").read_text()))
    users = {f"docs/{name}.md" for part in ("Start", "Use", "Run") for name in docs_site.NAVIGATION[part]}
    reached = links | {"docs/vendors.md"}
    assert {name for name in users if (ROOT / name).exists()} - reached == set()


def test_the_navigation_names_every_page_once(pages: dict[str, str]) -> None:
    named = [page for entries in docs_site.NAVIGATION.values() for page in entries]
    assert len(named) == len(set(named))
    made = {path.rsplit(".", 1)[0] for path in pages}
    below = {name for name in made if name.startswith(("examples/", "reference/")) and not name.endswith("/index")}
    assert made - below - {"index"} == set(named) & made
    assert set(named) - made <= {"inputs", "accounts"}, "pages of others, which may not be there yet"


def test_every_link_leads_to_something_on_the_site(pages: dict[str, str]) -> None:
    files = {f"images/{file.name}" for file in (ROOT / "docs" / "images").iterdir()}
    files |= {f"dashboards/{file.name}" for file in (ROOT / "docs" / "dashboards").iterdir()}
    files |= {f"results/{file.name}" for file in (ROOT / "benchmarks" / "results").iterdir()}
    files |= {f"examples/{file.name}" for file in (ROOT / "dags_examples").glob("*.jpg")}
    for name, text in pages.items():
        for link in LINK.findall(docs_site.FENCE.sub("", text)):
            if re.match(r"[a-z]+:|#", link):
                continue
            target = (Path(name).parent / link.partition("#")[0]).as_posix()
            assert posixpath.normpath(target) in pages.keys() | files, f"{name}: {link}"


def test_pictures_of_the_readme_are_on_the_site(pages: dict[str, str]) -> None:
    assert "](images/gallery-light.png)" in pages["index.md"]
    assert "<picture>" not in pages["index.md"]


def test_every_module_that_users_import_is_in_the_reference() -> None:
    shown = {module for modules in docs_site.REFERENCE.values() for module in modules}
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    used = {
        module
        for page in pages
        for module in re.findall(r"^from airflow_provider_wan\.([\w.]+) import", page.read_text(), re.MULTILINE)
    }
    assert used - {"client", "sandbox"} <= shown


def test_code_that_is_cut_from_examples_is_theirs() -> None:
    found = 0
    for page in (ROOT / "docs").glob("*.md"):
        text = page.read_text()
        found += len(snippets.MARK.findall(text))
        assert text.count("<!-- dags_examples/") == len(snippets.MARK.findall(text)), page.name
        assert snippets.with_snippets(text) == text, f"{page.name}: run `make snippets`"
    assert found >= 3


def test_a_section_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no section nothing"):
        snippets.cut("dags_examples/wan_store.py", "nothing")


def on_the_package_index() -> str:
    hook = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]["hooks"]
    text = (ROOT / "README.md").read_text()
    for substitution in hook["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    return text


def test_no_link_on_the_package_index_leads_nowhere() -> None:
    text = on_the_package_index()
    assert all(link.startswith(("https://", "#")) for link in LINK.findall(text))
    assert "src=" not in text
    assert "quickstart (`docs/quickstart.md`)" in text


def test_the_price_on_the_page_from_picture_to_bucket_is_that_of_the_table() -> None:
    from pydantic import SecretStr

    account = Account("dashscope", "https://dashscope-intl.aliyuncs.com", SecretStr("sk-x"), region="ap-southeast-1")
    costs = AccountCosts(account)
    amounts = []
    for seconds in (4, 9):
        request = ImageToVideoRequest(
            first_frame="https://media.example.com/a.png", resolution="720P", duration=seconds
        )
        estimate = costs.estimate(request)
        assert isinstance(estimate, CostEstimate)
        amounts.append(estimate.amount)
    text = (ROOT / "docs" / "end-to-end.md").read_text()
    assert f"are {amounts[0]:.2f} and {amounts[1]:.2f} USD, together {sum(amounts):.2f} USD" in text
