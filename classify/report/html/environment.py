"""Templates and what they say -> one HTML file."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classify.report.text import printable, span

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **context: Any) -> str:
    """Fill in a template of this room.

    Parameters
    ----------
    template : str
        File name in `templates`.
    **context
        What it asks for; one that is missing is an error. Texts are escaped and made printable, unless they are
        `Markup`.

    Returns
    -------
    page : str
        HTML that is complete in itself. Its content security policy forbids any request, and every script but its own.
    """
    return _environment().get_template(template).render(context)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"percent": _percent, "count": "{:,}".format, "short": _short}
    made.globals |= {"inlined": inlined, "sha256": _policy_hash, "span": span}
    return made


def inlined(names: list[str]) -> Markup:
    """The text of style sheets or scripts of this room, to be put into the page as it is."""
    from markupsafe import Markup

    return Markup("".join((TEMPLATES / name).read_text("utf-8") for name in names))


def _shown(value: Any) -> Any:
    """A name of the user's as it can be read, without what UTF-8 cannot encode or what would turn the line round."""
    from markupsafe import Markup

    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _policy_hash(text: str) -> str:
    """What a content security policy calls an inline script by."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _short(text: str, most: int) -> str:
    return printable(text, most, keep="both")


def _percent(share: float, digits: int = 1) -> str:
    return f"{share:.{digits}%}"
