"""Settings from variables and options."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.errors import SettingInvalid
from headway.settings import load_settings


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"HEADWAY_LEASE": "3"}, "HEADWAY_LEASE is not a setting"),
        ({"HEADWAY_DRAIN_SECONDS": "10"}, "HEADWAY_DRAIN_SECONDS is called HEADWAY_SETTLE_SECONDS now: rename"),
        ({"HEADWAY_ASSIGNMENTS_URL": "amqp://a"}, "HEADWAY_ASSIGNMENTS_URL is called HEADWAY_WAKEUPS_URL now: rename"),
        ({"HEADWAY_PORT": "x"}, "HEADWAY_PORT is 'x'"),
        ({"HEADWAY_SETTLE_SECONDS": "10"}, "HEADWAY_ORPHAN_TIMEOUT_SECONDS is 300; it must be below"),
    ],
)
def test_wrong_settings_are_named(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingInvalid) as error:
        load_settings(variables)
    assert words in str(error.value)


def test_options_win_over_variables(tmp_path: Path) -> None:
    assert load_settings({"HEADWAY_PORT": "1"}, port=2, home=tmp_path).port == 2
    assert load_settings({"HEADWAY_PORT": "1"}, port=None).port == 1


def test_variables_of_a_kubernetes_service_called_headway_are_no_settings() -> None:
    of_services = {
        "HEADWAY_SERVICE_HOST": "10.0.0.1",
        "HEADWAY_SERVICE_PORT": "8420",
        "HEADWAY_SERVICE_PORT_HTTP": "8420",
        "HEADWAY_PORT": "tcp://10.0.0.1:8420",
        "HEADWAY_PORT_8420_TCP": "tcp://10.0.0.1:8420",
        "HEADWAY_PORT_8420_TCP_PROTO": "tcp",
        "HEADWAY_PORT_8420_TCP_PORT": "8420",
        "HEADWAY_PORT_8420_TCP_ADDR": "10.0.0.1",
        "HEADWAY_METRICS_PORT": "udp://10.0.0.2:1",
    }
    assert load_settings(of_services).port == 8420
    assert load_settings({**of_services, "HEADWAY_PORT": "8421"}).port == 8421


@pytest.mark.parametrize("variable", ["HEADWAY_SERVICE", "HEADWAY_PORTS", "HEADWAY_PORT_TCP", "HEADWAY_METRICS_PORT"])
def test_only_they_are_passed_over(variable: str) -> None:
    with pytest.raises(SettingInvalid, match=f"{variable} is not a setting"):
        load_settings({variable: "8420"})
