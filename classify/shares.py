"""Shares of the parts, as people write them: 80/10/10."""

from __future__ import annotations

import re
from fractions import Fraction

from cache.errors import UserError
from cache.manifest import SPLITS, TEST, VAL, Manifest


def parse_shares(text: str) -> tuple[float, float]:
    """Read training/validation/test or training/test shares: percent, or any numbers in proportion.

    Returns
    -------
    val_size, test_size : float
        Of the whole; `val_size` is 0 where there is no validation part.

    Raises
    ------
    UserError
        For what is no such text, or leaves nothing to train on or to test on.
    """
    parts = [part.strip().removesuffix("%") for part in text.split("/")]
    if len(parts) not in (2, 3) or not all(re.fullmatch(r"\d{1,9}(\.\d{1,9})?", part) for part in parts):
        raise UserError(
            f"Expected --split as shares of training, validation and test part, such as 80/10/10, or without a "
            f"validation part 80/20; received {text!r}."
        )
    # Fractions: 0.8/0.1/0.1 and 80/10/10 are one split, with one record.
    shares = [Fraction(part) for part in parts]
    train, val, test = shares[0], sum(shares[1:-1], Fraction()), shares[-1]
    if not train or not test:
        missing = "train on" if not train else "test on"
        raise UserError(
            f"Expected --split with a share to train on and one to test on, received {text!r}: nothing to {missing}. "
            "80/10/10 is a common choice."
        )
    whole = train + val + test
    return float(val / whole), float(test / whole)


def refuse_own_parts(manifest: Manifest, dataset: str, shares: str) -> None:
    """Raise UserError if a data set brings a validation or a test part: those are honoured, not divided again."""
    own = [SPLITS[code] for code in (VAL, TEST) if (manifest.split == code).any()]
    if own:
        raise UserError(
            f"Expected a data set without parts of its own for --split {shares}, received {dataset!r} with a "
            f"{' and a '.join(own)} part. Leave out --split to use them; to divide anew, empty the column split of "
            "the table that `manifest --out labels.csv` writes, and extract that."
        )
