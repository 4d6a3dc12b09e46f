"""How sellers round the time that is paid for, each with the page that says so and its day."""

from __future__ import annotations

from typing import NamedTuple

from dlbench.core.catalog import Offer
from dlbench.core.recommendation import Step

READ = "2026-11-26"
"""The day on which stored copies of those pages were read that have no day of their own."""


class Billing(NamedTuple):
    """Whole units of ``unit_s`` seconds, and at least ``least_s``.

    ``source`` is the seller's own page where nothing else is said, ``as_of`` its day, else that of
    reading it.
    """

    unit_s: int
    least_s: int
    source: str
    as_of: str = ""

    @property
    def words(self) -> str:
        """As people say it: by the second, at least a minute."""
        least = f", at least {LEAST[self.least_s]}" if self.least_s > self.unit_s else ""
        return f"by the {SPANS[self.unit_s]}{least}"


SPANS = {1: "second", 60: "minute", 3600: "hour"}
LEAST = {60: "a minute", 3600: "an hour"}

_ORACLE = (
    "Oracle's announcement, as quoted in https://the-report.cloud/"
    "oracle-announcing-per-second-billing-for-compute-and-autonomous-database"
)

OCI_BARE_METAL = "oci bare metal"

KNOWN = {
    "aws": Billing(
        1,
        60,
        "https://aws.amazon.com/about-aws/whats-new/2017/10/announcing-amazon-ec2-per-second-billing/",
        "2017-10-02",
    ),
    "gcp": Billing(1, 60, "https://cloud.google.com/compute/vm-instance-pricing", READ),
    "azure": Billing(
        60, 60, "https://learn.microsoft.com/azure/virtual-machines/vm-usage", "2020-07-28"
    ),
    "oci": Billing(1, 60, _ORACLE, READ),
    OCI_BARE_METAL: Billing(1, 3600, _ORACLE, READ),
    "lambda": Billing(60, 60, "https://docs.lambda.ai/public-cloud/billing", READ),
    "runpod": Billing(1, 1, "https://docs.runpod.io/accounts-billing/billing", READ),
    "vast": Billing(1, 1, "https://docs.vast.ai/documentation/instances/pricing", READ),
    "coreweave": Billing(60, 60, "https://docs.coreweave.com/resources/billing-and-charges", READ),
    "exoscale": Billing(1, 1, "https://www.exoscale.com/blog/cloud-pricing-models", "2021-08-12"),
    "hyperstack": Billing(
        60,
        60,
        "https://www.hyperstack.cloud/gpu-pricing, as quoted in api-evangelist/nexgen-cloud "
        "plans/nexgen-cloud-plans-pricing.yml",
        "2026-08-26",
    ),
    "jarvislabs": Billing(60, 60, "https://github.com/jarvislabsai", READ),
    "nebius": Billing(
        1,
        1,
        "https://docs.nebius.com/object-storage/resources/pricing (it speaks of GPUs too)",
        READ,
    ),
    # Outside of the US by the second since August 2026, its roadmap says (ovh/public-cloud-roadmap,
    # issue 562); the catalog's rows do not say where they stand, so the dearer habit is taken.
    "ovh": Billing(
        3600,
        3600,
        "https://support.us.ovhcloud.com/hc/en-us/articles/22143514040083 (in the US)",
        READ,
    ),
}

UNKNOWN = Billing(3600, 3600, "not confirmed: the dearest habit there is")
"""Everybody else's."""

EGRESS = Step(
    name="egress",
    value="not counted",
    formula="a need does not say how much is fetched from a machine; a GB costs nothing at runpod, "
    "0.09 USD at aws beyond 100 GB a month, 0.12 USD at gcp; other sellers: not confirmed",
    source="https://docs.runpod.io/accounts-billing/billing; a bill in "
    "https://repost.aws/questions/QUAT1NfOeZSAK5z8KXXO9jgA; "
    "https://cloud.google.com/storage/pricing-examples",
    as_of=READ,
)


def of(offer: Offer) -> Billing:
    """How this offer's seller bills it."""
    # OCI's names of types begin with what they are: VM or BM.
    bare = offer.provider == "oci" and offer.instance_type.startswith("BM.")
    return KNOWN.get(OCI_BARE_METAL if bare else offer.provider, UNKNOWN)


def step() -> Step:
    """All sellers, by how they bill, as a line of the explanation."""
    sellers: dict[str, list[str]] = {}
    for name, habit in KNOWN.items():
        sellers.setdefault(habit.words, []).append(name)
    told = [f"{words}: {', '.join(names)}" for words, names in sellers.items()]
    return Step(
        name="billing",
        value="; ".join([*told, f"else {UNKNOWN.words}, {UNKNOWN.source}"]),
        formula="time rounded up",
        source="each seller's page, in the way of its candidates",
        as_of=READ,
    )
