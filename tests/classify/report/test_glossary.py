"""The words of the reports."""

import re
from pathlib import Path

from classify.report.glossary import TERMS, with_words, words_of

GUIDE = (Path(__file__).parents[3] / "docs/guide.md").read_text("utf-8")


def test_the_guide_has_the_same_words() -> None:
    glossary = GUIDE.partition("\n## Glossary\n")[2].partition("\n## ")[0]
    assert dict(re.findall(r"^\| (.+?) \| (.+) \|$", glossary, re.M)[1:]) == TERMS
    assert list(TERMS) == sorted(TERMS, key=str.lower)


def test_a_page_ends_with_the_words_that_it_uses() -> None:
    page = (
        "# A page\n\nNear copies stay together; alpha is 1 in both views. Spacebars, tied, cross-validation."
    )
    assert list(words_of(page)) == ["alpha", "near copy", "view"]
    found = with_words(page)
    assert found.startswith(
        "# A page\n\nThe words on this page are explained [at its end](#words).\n\nNear copies"
    )
    assert found.count("\n- **") == 3 and "\n\n## Words\n\n- **alpha**: Of a fine-tune" in found
    assert found.endswith(TERMS["view"] + "\n")
