"""Which cloud this is: by the files that clouds leave, and by a pretended metadata service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from dlbench import cloud, session
from dlbench.__main__ import main
from dlbench.cloud import Cloud
from dlbench.core.errors import UsageError
from dlbench.core.types import Absent, Environment
from tests import builders

DMI = "sys/class/dmi/id/"
INIT = "run/cloud-init/instance-data.json"


AWS = {
    f"{DMI}sys_vendor": "Amazon EC2\n",
    f"{DMI}product_name": "p4d.24xlarge\n",
    INIT: json.dumps({"v1": {"cloud_name": "aws", "region": "eu-central-1"}}),
}
XEN = {
    f"{DMI}sys_vendor": "Xen\n",
    f"{DMI}product_name": "HVM domU\n",
    "var/lib/cloud/instance/datasource": "DataSourceEc2Local: DataSourceEc2Local\n",
    INIT: json.dumps(
        {"v1": {"region": "us-east-1"}, "ds": {"meta_data": {"instance-type": "p3.2xlarge"}}}
    ),
}
GCP = {
    f"{DMI}product_name": "Google Compute Engine\n",
    INIT: json.dumps({"v1": {"cloud_name": "gce", "region": "us-central1"}}),
}
AZURE = {
    f"{DMI}sys_vendor": "Microsoft Corporation\n",
    f"{DMI}chassis_asset_tag": f"{cloud.AZURE_ASSET_TAG}\n",
    INIT: json.dumps(
        {
            "v1": {"cloud_name": "azure"},
            "ds": {"meta_data": {"imds": {"compute": {"location": "eastus2", "vmSize": "ND96"}}}},
        }
    ),
}


@pytest.mark.parametrize(
    ("files", "provider", "region", "instance_type"),
    [
        (AWS, "aws", "eu-central-1", "p4d.24xlarge"),
        (XEN, "aws", "us-east-1", "p3.2xlarge"),
        (GCP, "gcp", "us-central1", None),
        (AZURE, "azure", "eastus2", "ND96"),
        ({"run/cloud-init/cloud-id": "gce\n"}, "gcp", None, None),
        ({f"{DMI}sys_vendor": "Microsoft Corporation\n"}, None, None, None),
        ({f"{DMI}sys_vendor": "Dell Inc.\n", f"{DMI}product_name": "R7.25\n"}, None, None, None),
        ({f"{DMI}sys_vendor": "Amazon EC2\n", INIT: "{broken"}, "aws", None, None),
        ({INIT: "[" * 5000}, None, None, None),
        ({INIT: '{"v1": {"region": "redacted for non-root user"}}'}, None, None, None),
        ({INIT: '{"v1": 3, "ds": {"meta_data": []}}'}, None, None, None),
        ({}, None, None, None),
    ],
)
def test_clouds_are_told_by_what_they_leave_on_disk(
    tmp_path: Path,
    files: dict[str, str],
    provider: str | None,
    region: str | None,
    instance_type: str | None,
) -> None:
    """Each word by itself: known, or absent with what would find it."""
    found = cloud.on_disk(builders.tree(tmp_path, files))
    words = zip(
        (found.provider, found.region, found.instance_type),
        (provider, region, instance_type),
        strict=True,
    )
    for word, expected in words:
        if expected is None:
            assert isinstance(word, Absent)
            assert "--detect-cloud" in word.remedy
        else:
            assert word == expected


def test_facts_have_the_names_that_readers_ask_for(tmp_path: Path) -> None:
    """The catalog is asked for provider and region, evidence for the instance."""
    facts = cloud.on_disk(builders.tree(tmp_path, AWS)).facts()
    assert facts == {
        "cloud_provider": "aws",
        "cloud_region": "eu-central-1",
        "cloud_instance": "p4d.24xlarge",
    }


# --- the metadata service, pretended -----------------------------------------------------------

NOTHING = Absent(reason="not on disk")
UNKNOWN = Cloud(provider=NOTHING, region=NOTHING, instance_type=NOTHING)


class Service:
    """Answers a few addresses, and remembers what was asked."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        """Answers by the end of an address."""
        self.answers = answers
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def __call__(self, method: str, address: str, headers: Mapping[str, str]) -> str | None:
        """The answer to an address, or nobody's."""
        self.asked.append((method, address, dict(headers)))
        return next((a for end, a in self.answers.items() if address.endswith(end)), None)


def test_aws_is_asked_with_a_token() -> None:
    """Version 2 of the service: PUT for a token, which the second request carries."""
    identity = json.dumps({"region": "us-west-2", "instanceType": "g6.xlarge", "accountId": "1"})
    service = Service({"api/token": "secret", "document": identity})
    found = cloud.by_network(UNKNOWN, service)
    assert found == Cloud(provider="aws", region="us-west-2", instance_type="g6.xlarge")
    assert service.asked[0][0] == "PUT"
    assert service.asked[1][2] == {"X-aws-ec2-metadata-token": "secret"}


def test_google_answers_paths() -> None:
    """Zone and machine type are the last parts; the region is the zone without its letter."""
    service = Service(
        {
            "instance/zone": "projects/12/zones/europe-west4-b",
            "machine-type": "projects/12/machineTypes/a2-highgpu-1g",
        }
    )
    found = cloud.by_network(UNKNOWN, service)
    assert found == Cloud(provider="gcp", region="europe-west4", instance_type="a2-highgpu-1g")
    assert all(h == {"Metadata-Flavor": "Google"} for _, a, h in service.asked if "compute" in a)


def test_azure_is_asked_with_its_header() -> None:
    """Only location and size are taken of what it says."""
    answer = json.dumps({"location": "eastus", "vmSize": "Standard_NC24", "subscriptionId": "x"})
    service = Service({"api-version=2021-02-01": answer})
    found = cloud.by_network(UNKNOWN, service)
    assert found == Cloud(provider="azure", region="eastus", instance_type="Standard_NC24")
    assert service.asked[-1][2] == {"Metadata": "true"}


def test_only_the_known_provider_is_asked_and_the_disk_is_believed() -> None:
    """What the disk said is never replaced; other clouds' services are left alone."""
    known = Cloud(provider="gcp", region="us-central1", instance_type=NOTHING)
    service = Service(
        {"instance/zone": "projects/1/zones/asia-east1-a", "machine-type": "projects/1/x/n1"}
    )
    found = cloud.by_network(known, service)
    assert found == Cloud(provider="gcp", region="us-central1", instance_type="n1")
    assert all("computeMetadata" in address for _, address, _ in service.asked)


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"api/token": "t", "document": "<html>a captive portal</html>"},
        {"instance/zone": "<html>", "machine-type": "<html>"},
        {"api-version=2021-02-01": "[]"},
    ],
)
def test_silence_and_nonsense_are_absent(answers: dict[str, str]) -> None:
    """Nothing that answers like a cloud: every word says so."""
    found = cloud.by_network(UNKNOWN, Service(answers))
    for word in found.facts().values():
        assert isinstance(word, Absent)
        assert "answered" in word.reason


def test_an_answer_that_is_no_word_is_not_recorded() -> None:
    """A document holds names, never what a strange server sends."""
    identity = json.dumps({"region": "a b\u001b[31m", "instanceType": 7})
    found = cloud.by_network(UNKNOWN, Service({"api/token": "t", "document": identity}))
    assert found.provider == "aws"
    assert isinstance(found.region, Absent)
    assert isinstance(found.instance_type, Absent)


def test_nothing_is_asked_of_the_network_when_gathering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facts of a machine come from its disk alone."""
    from dlbench import environment

    def refused(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(cloud, "request", refused)
    facts = environment.machine_facts(builders.tree(tmp_path, AWS))
    assert facts["cloud_provider"] == "aws"
    assert facts["cloud_region"] == "eu-central-1"
    assert facts["cloud_instance"] == "p4d.24xlarge"


@pytest.mark.parametrize("asked", [True, False])
def test_run_asks_the_network_only_with_the_flag(
    asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --detect-cloud the environment holds the answer; without it nobody is asked."""
    identity = json.dumps({"region": "us-west-2", "instanceType": "g6.xlarge"})
    service = Service({"api/token": "t", "document": identity})
    seen: list[Environment] = []

    def stopped(_plan: object, environment: Environment, *_: object, **__: object) -> None:
        seen.append(environment)
        raise UsageError("far enough", "")

    monkeypatch.setattr(cloud, "on_disk", lambda *_: UNKNOWN)
    monkeypatch.setattr(cloud, "request", service)
    monkeypatch.setattr(session, "run_plan", stopped)
    flags = ["--detect-cloud"] if asked else []
    words = ["run", "fake", "-f", "fake", "-d", "fake", "--out", str(tmp_path), *flags]
    monkeypatch.setattr("sys.argv", ["dlbench", *words])
    with pytest.raises(SystemExit):
        main()
    assert seen[0].facts["cloud_instance"] == ("g6.xlarge" if asked else NOTHING)
    assert bool(service.asked) == asked
