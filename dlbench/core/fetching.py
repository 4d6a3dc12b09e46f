"""What a source of offers is asked, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dlbench.core.catalog import Catalog, Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Offers of one seller or file; ``raw`` is what came, for its hash.

    ``problems`` are sentences, each with the number of rows it stands for.
    """

    name: str
    source: str
    offers: tuple[Offer, ...]
    raw: bytes
    problems: tuple[tuple[str, int], ...] = ()


class Provider(Protocol):
    """A module in ``dlbench/providers``."""

    def fetch(self, where: str, catalog: Catalog, as_of: str, seller: str) -> tuple[Fetched, ...]:
        """Read offers from ``where`` (a path or an address; "" is the source's own).

        ``as_of`` is the day to write beside prices that carry none, "" where nobody knows it;
        ``seller`` is whose they are where the file does not say.

        Raises:
            DlbenchError: nothing could be read.
        """
        ...
