"""axe-core, as a test asks it: names, roles and contrast of the page that a browser shows."""

from typing import Any

import pytest

# axe is a script that the policy of a served page would forbid: for `browser.new_context`.
ALLOWED = {"bypass_csp": True}


def passes(page: Any) -> None:
    """Let axe look at a page; skipped where it is not installed."""
    reason = "pip install axe-playwright-python"
    module = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    found = module.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
