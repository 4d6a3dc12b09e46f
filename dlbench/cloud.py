"""Which cloud a machine is rented from, where it stands, and its type.

Read from what the firmware (DMI) and cloud-init left on disk, below an injectable root. The provider's
metadata service is asked only by ``by_network``, which nothing calls unless the user says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlbench.core.types import Absent

Word = str | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Provider, region and instance type, in the catalog's words; each known or absent by itself."""

    provider: Word
    region: Word
    instance_type: Word

    def facts(self) -> dict[str, Word]:
        """As facts of an environment."""
        return {
            "cloud_provider": self.provider,
            "cloud_region": self.region,
            "cloud_instance": self.instance_type,
        }


NAMES = {
    "aws": "aws",
    "ec2": "aws",
    "gce": "gcp",
    "gcp": "gcp",
    "azure": "azure",
    "oracle": "oci",
    "oci": "oci",
    "digitalocean": "digitalocean",
    "hetzner": "hetzner",
    "scaleway": "scaleway",
    "vultr": "vultr",
}
"""cloud-init's names of clouds and data sources, and the catalog's."""

AZURE_ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"
"""The chassis of every Azure machine, by which cloud-init knows it; the vendor alone is Hyper-V's."""

FIRMWARE = (
    ("sys_vendor", "Amazon EC2", "aws"),
    ("product_name", "Google Compute Engine", "gcp"),
    ("chassis_asset_tag", AZURE_ASSET_TAG, "azure"),
    ("chassis_asset_tag", "OracleCloud.com", "oci"),
    ("sys_vendor", "DigitalOcean", "digitalocean"),
    ("sys_vendor", "Hetzner", "hetzner"),
    ("sys_vendor", "Scaleway", "scaleway"),
    ("sys_vendor", "Vultr", "vultr"),
)
"""A field of the firmware, what it is exactly, and whose machine it is then. Google, the vendor, also
makes notebooks."""

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What regions and instance types look like; anything else (cloud-init's redactions) is not one."""

TYPE_PATHS = (
    ("v1", "instance_type"),
    ("ds", "meta_data", "instance-type"),
    ("ds", "meta_data", "imds", "compute", "vmSize"),
)
"""Where cloud-init keeps the type: EC2's metadata, Azure's; Google's has none."""

REGION_PATHS = (("v1", "region"), ("ds", "meta_data", "imds", "compute", "location"))

ASK = "--detect-cloud asks the provider's metadata service"

NO_CLOUD = Absent(
    reason="neither cloud-init nor the firmware names a cloud",
    remedy=f"On a rented machine: {ASK}.",
)


def on_disk(root: Path = Path("/")) -> Cloud:
    """What the firmware and cloud-init say; never by network."""
    data = _instance_data(root)
    provider = _provider(root, data)
    return Cloud(
        provider=provider or NO_CLOUD,
        region=_first(data, REGION_PATHS) or _unsaid("region", provider),
        instance_type=_first(data, TYPE_PATHS)
        or _firmware_type(root, provider)
        or _unsaid("instance type", provider),
    )


def _unsaid(what: str, provider: str | None) -> Absent:
    if provider is None:
        return Absent(
            reason=f"neither cloud-init nor the firmware names an {what}".replace("an r", "a r"),
            remedy=NO_CLOUD.remedy,
        )
    return Absent(reason=f"{provider} left no {what} on disk", remedy=ASK)


def _instance_data(root: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(text_of(root / "run/cloud-init/instance-data.json") or "{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _provider(root: Path, data: Mapping[str, Any]) -> str | None:
    """By the firmware first: an image may carry another cloud's cloud-init files."""
    for field, value, name in FIRMWARE:
        if text_of(root / "sys/class/dmi/id" / field).strip() == value:
            return name
    # "DataSourceEc2Local: DataSourceEc2Local" of an instance's first boot.
    source = text_of(root / "var/lib/cloud/instance/datasource").partition(":")[0].strip()
    words = (
        _first(data, (("v1", "cloud_name"), ("v1", "cloud-name"))) or "",
        text_of(root / "run/cloud-init/cloud-id").strip(),
        source.removeprefix("DataSource").removesuffix("Local"),
    )
    return next((NAMES[word.lower()] for word in words if word.lower() in NAMES), None)


def _firmware_type(root: Path, provider: str | None) -> str | None:
    """On EC2 the firmware's product name is the instance type (of Xen's, "HVM domU", it is not)."""
    product = text_of(root / "sys/class/dmi/id/product_name").strip()
    return product if provider == "aws" and "." in product and WORD.fullmatch(product) else None


def _first(data: Mapping[str, Any], paths: tuple[tuple[str, ...], ...]) -> str | None:
    """The first of several places in nested tables that holds a plausible word."""
    for path in paths:
        found: Any = data
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if word := _word(found):
            return word
    return None


def text_of(path: Path) -> str:
    """A file's text; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


# --- by network, when asked ------------------------------------------------------------------

METADATA = "http://169.254.169.254"
"""The same link-local address in all three clouds; it never leaves the host."""

TIMEOUT_S = 1.0
MOST_BYTES = 65_536

Open = Callable[[str, str, Mapping[str, str]], str | None]
"""Method, address and headers to the answer's text; None where nobody answers."""


def by_network(known: Cloud, ask: Open | None = None) -> Cloud:
    """Fill what the disk does not say from the metadata service of the provider, or of any of three.

    Args:
        known: what ``on_disk`` found; it is never replaced.
        ask: how to make one request; default over HTTP, past any proxy, 1 s each.
    """
    ask = ask or request
    names = [known.provider] if isinstance(known.provider, str) else list(SERVICES)
    for name in names:
        found = SERVICES[name](ask) if name in SERVICES else None
        if found is not None:
            region, instance_type = found
            return Cloud(
                provider=name,
                region=_filled(known.region, _word(region)),
                instance_type=_filled(known.instance_type, _word(instance_type)),
            )
    silent = Absent(reason="no metadata service of AWS, Google or Azure answered within a second")
    return Cloud(
        provider=_filled(known.provider, None, silent),
        region=_filled(known.region, None, silent),
        instance_type=_filled(known.instance_type, None, silent),
    )


def _filled(known: Word, found: str | None, why: Absent | None = None) -> Word:
    return known if isinstance(known, str) else found or why or known


def _word(found: object) -> str | None:
    return found if isinstance(found, str) and WORD.fullmatch(found) else None


Answer = tuple[object, object] | None
"""Region and instance type as a service gave them; None where it is not there."""


def _aws(ask: Open) -> Answer:
    """Version 2 of EC2's service: a token first, then the instance's identity."""
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = ask("PUT", f"{METADATA}/latest/api/token", ttl)
    if not token:
        return None
    headers = {"X-aws-ec2-metadata-token": token}
    data = _table(ask("GET", f"{METADATA}/latest/dynamic/instance-identity/document", headers))
    return (data.get("region"), data.get("instanceType")) if data else None


def _gcp(ask: Open) -> Answer:
    """Google's answers are paths: ``projects/1/zones/us-central1-a``."""
    headers = {"Metadata-Flavor": "Google"}
    zone = ask("GET", f"{METADATA}/computeMetadata/v1/instance/zone", headers)
    machine = ask("GET", f"{METADATA}/computeMetadata/v1/instance/machine-type", headers)
    if not zone or not machine or "/" not in zone:
        return None
    return zone.rsplit("/", 1)[-1].rpartition("-")[0], machine.rsplit("/", 1)[-1]


def _azure(ask: Open) -> Answer:
    address = f"{METADATA}/metadata/instance/compute?api-version=2021-02-01"
    data = _table(ask("GET", address, {"Metadata": "true"}))
    return (data.get("location"), data.get("vmSize")) if data.get("vmSize") else None


SERVICES: dict[str, Callable[[Open], Answer]] = {"aws": _aws, "gcp": _gcp, "azure": _azure}


def _table(text: str | None) -> Mapping[str, Any]:
    try:
        data = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def request(method: str, address: str, headers: Mapping[str, str]) -> str | None:
    """One request to the metadata service, past any proxy; None where nobody answers in time."""
    from http.client import HTTPException
    from urllib.request import ProxyHandler, Request, build_opener

    opener = build_opener(ProxyHandler({}))
    try:
        asked = Request(address, method=method, headers=dict(headers))  # noqa: S310 - a constant address
        with opener.open(asked, timeout=TIMEOUT_S) as answer:
            text: str = answer.read(MOST_BYTES).decode("utf-8", errors="replace")
    except (OSError, HTTPException):
        return None
    return text.strip()
