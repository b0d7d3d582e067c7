"""`make docs`: the documentation as a site, built by Sphinx; any warning is an error.

    python -m tools.docs_site [OUT]

The pages of docs/ are copied together with those that are made here: README and the other pages at the root, the
example DAGs, the reference from the docstrings. A page's links work in the repository; here each is turned into the
place that its target has on the site. One that leads to nothing the site has stays as it is, and Sphinx fails on it.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
}
LICENCE = "licence.md"

NAVIGATION = {
    "Start": ("quickstart", "end-to-end", "migrating"),
    "Use": ("connections", "vendors", "operators", "inputs", "batch", "costs", "accounts", "gallery", "examples/index"),
    "Run": (
        "durability",
        "scale",
        "monitoring",
        "operations",
        "troubleshooting",
        "security",
        "versions",
        "sandbox",
    ),
    "Reference": ("reference/index",),
    "Project": ("architecture", "benchmarks", "changelog", "contributing", "security-policy", "licence"),
}

PACKAGE = "airflow_provider_wan"
REFERENCE: dict[str, dict[str, tuple[str, ...]]] = {
    "Operators": {"operators.wan": (), "operators.base": (), "operators.batch": ("WanVideoBatchOperator",)},
    "Sensor, transfer, decorator": {
        "sensors.wan": ("WanTaskSensor",),
        "transfers.wan_to_object_storage": ("WanVideoToObjectStorageOperator",),
        "decorators.wan_video": ("wan_video_task",),
    },
    "Hook": {"hooks.wan": ("WanHook",)},
    "Webhooks": {"client.webhooks": ()},
    "Requests and tasks": {
        "client.requests": (),
        "client.tasks": ("Mode", "TaskStatus", "TaskHandle", "VideoTask"),
    },
    "Costs": {
        "client.costs.estimate": ("CostEstimate",),
        "client.costs.actual": ("Basis", "Cost"),
        "client.costs.prices": ("Price", "Unit"),
    },
    "Errors": {"client.errors": (), "durable.ledger": ("LedgerError",)},
    "Retries and metrics": {"policies.retry": ("WanRetryPolicy",), "telemetry.metrics": ("Metric",)},
    "Triggers": {"triggers.wan": ()},
    "Sandbox": {"sandbox.server": ("Sandbox",)},
}
"""By page, the modules, and of those that hold more than users need, the names."""

FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(\]\()([^)\s\"#]+)(#[^)\s\"]*)?(?=\))")
LEXERS = {"jsonl": "text", "csv": "text"}
"""Languages of code blocks that nothing colours."""
PICTURE = re.compile(r"<picture>.*?<img alt=\"([^\"]*)\" src=\"([^\"]*)\">.*?</picture>", re.DOTALL)


def site_path(path: str) -> str | None:
    """Return where a file of the repository is on the site; ``None`` for one that is not there."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if path == "LICENSE":
        return LICENCE
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.startswith("benchmarks/results/"):
        return path.removeprefix("benchmarks/")
    if path.startswith("dags_examples/") and path.endswith(".jpg"):
        return f"examples/{Path(path).name}"
    if path == "dags_examples":
        return "examples/index.md"
    if path.startswith("dags_examples/") and path.endswith(".py"):
        return f"examples/{Path(path).stem}.md"
    return None


def with_site_links(text: str, source: str, target: str) -> str:
    """Return a page whose links lead to the site's files.

    :param source: its path in the repository.
    :param target: its path on the site.
    """

    def led(match: re.Match[str]) -> str:
        begin, link, anchor = match[1], match[2], match[3] or ""
        if re.match(r"[a-z]+:", link):
            return match[0]
        there = site_path(posixpath.normpath(posixpath.join(posixpath.dirname(source), link)))
        if there is None:
            return match[0]
        return begin + posixpath.relpath(there, posixpath.dirname(target) or ".") + anchor

    parts = FENCE.split(PICTURE.sub(r"![\1](\2)", text))
    return "".join(_with_lexer(part) if part.startswith("```") else LINK.sub(led, part) for part in parts)


def _with_lexer(fence: str) -> str:
    language = fence.splitlines()[0].removeprefix("```")
    return f"```{LEXERS.get(language, language)}{fence.removeprefix(f'```{language}')}"


def pages() -> dict[str, str]:
    """Return all pages by their paths on the site."""
    found = {f"{LICENCE}": f"# Licence\n\n```text\n{(ROOT / 'LICENSE').read_text()}```\n"}
    sources = ROOT_PAGES | {f"docs/{file.name}": file.name for file in sorted(DOCS.glob("*.md"))}
    for source, target in sources.items():
        found[target] = with_site_links((ROOT / source).read_text(), source, target)
    names = sorted(file.stem for file in (ROOT / "dags_examples").glob("*.py"))
    found |= {f"examples/{name}.md": example_page(name) for name in names}
    found["examples/index.md"] = examples_index(names)
    found |= {f"reference/{slug(title)}.rst": reference_page(title) for title in REFERENCE}
    found["reference/index.md"] = "# Reference\n\nFrom the docstrings.\n\n" + toctree(map(slug, REFERENCE))
    found["index.md"] += "\n" + "\n".join(
        toctree((page for page in entries if any(f"{page}.{end}" in found for end in ("md", "rst"))), title)
        for title, entries in NAVIGATION.items()
    )
    return found


def toctree(entries: object, caption: str = "") -> str:
    """Return a part of the navigation."""
    lines = ["```{toctree}", *([f":caption: {caption}", ":hidden:"] if caption else []), ":maxdepth: 1", ""]
    return "\n".join([*lines, *entries, "```", ""])  # type: ignore[misc]


def example_page(name: str) -> str:
    """Return one example DAG as a page."""
    code = (ROOT / "dags_examples" / f"{name}.py").read_text()
    return f"# {name}\n\n`dags_examples/{name}.py`\n\n```python\n{code}```\n"


def examples_index(names: list[str]) -> str:
    """Return the list of the example DAGs, with the first paragraph of each."""
    lines = ["# Examples\n", "Each runs as it stands, on the [sandbox](../sandbox.md) or with a real key.\n"]
    lines += ["| DAG | what it shows |", "| --- | --- |"]
    for name in names:
        text = (ROOT / "dags_examples" / f"{name}.py").read_text()
        first = text.split('"""')[1].strip().split("\n\n")[0].replace("\n", " ").replace("``", "`")
        lines.append(f"| [{name}]({name}.md) | {first} |")
    return "\n".join([*lines, "", toctree(names, "Examples")])


def reference_page(title: str) -> str:
    """Return a page that autodoc fills from docstrings."""
    parts = [title, "=" * len(title), ""]
    for module, names in REFERENCE[title].items():
        path = f"{PACKAGE}.{module}"
        parts += [path, "-" * len(path), "", f".. automodule:: {path}"]
        parts += [f"   :members: {', '.join(names)}" if names else "   :members:", ""]
    return "\n".join(parts)


def slug(title: str) -> str:
    """Return the file name of a page of the reference."""
    return re.sub(r"[^a-z]+", "-", title.lower())


def build(out: Path) -> int:
    """Write the pages and have Sphinx make the site; return its exit code."""
    from sphinx.cmd.build import main as sphinx

    with tempfile.TemporaryDirectory(prefix="wan-docs-") as work:
        # Airflow writes its settings into its home when a module of it is imported.
        os.environ.setdefault("AIRFLOW_HOME", f"{work}/airflow")
        source = Path(work) / "source"
        for modules in REFERENCE.values():
            for module in modules:
                # Before Sphinx does it: it would claim that a type checker runs, which Airflow's models do not survive.
                import_module(f"{PACKAGE}.{module}")
        for path, text in pages().items():
            file = source / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for folder, target in ((DOCS / "images", "images"), (DOCS / "dashboards", "dashboards")):
            shutil.copytree(folder, source / target)
        shutil.copytree(ROOT / "benchmarks" / "results", source / "results", ignore=shutil.ignore_patterns("*.md"))
        for picture in (ROOT / "dags_examples").glob("*.jpg"):
            shutil.copy(picture, source / "examples")
        shutil.rmtree(out, ignore_errors=True)
        options = ["--fail-on-warning", "--keep-going", "--quiet", "--builder", "html"]
        return sphinx([*options, "--conf-dir", str(DOCS), "--doctree-dir", f"{work}/tree", str(source), str(out)])


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site")
    code = build(target)
    if code == 0:
        print(f"The site is at {target}/index.html")
    sys.exit(code)
