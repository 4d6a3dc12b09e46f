"""Every source of prices that discovery finds holds to the same rules, without a test of its own."""

from __future__ import annotations

import inspect

import pytest

from dlbench import catalog
from dlbench.core import registry
from dlbench.core.errors import DlbenchError
from dlbench.core.fetching import Provider


@pytest.mark.parametrize("name", registry.names("providers"))
def test_a_provider_has_the_one_function_and_says_what_it_raises(name: str) -> None:
    """The signature is the protocol's, so that ``catalog update`` can call any of them."""
    fetch = registry.provider(name).fetch
    wanted = [p for p in inspect.signature(Provider.fetch).parameters if p != "self"]
    assert list(inspect.signature(fetch).parameters) == wanted
    assert "Raises:" in (inspect.getdoc(fetch) or "")


@pytest.mark.parametrize("name", [n for n in registry.names("providers") if n != "gpuhunt"])
def test_a_provider_that_gets_nothing_raises_one_of_ours(name: str) -> None:
    """A path that is not there is a sentence, not a traceback; nothing is connected to."""
    with pytest.raises(DlbenchError):
        registry.provider(name).fetch("/nowhere/aws/vms.csv", catalog.shipped(), "2026-11-25", "")
