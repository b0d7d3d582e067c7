"""Sphinx's settings; the pages are put together by ``tools/docs_site.py`` (``make docs``)."""

from airflow_provider_wan import __version__

project = "airflow-provider-wan"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]

html_theme = "furo"
html_title = f"{project} {version}"
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["html_image"]
# Anchors as on the repository's own pages.
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_class_signature = "separated"

highlight_language = "text"
exclude_patterns = ["conf.py"]
