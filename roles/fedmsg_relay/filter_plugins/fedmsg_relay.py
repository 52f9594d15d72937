"""The filters of the role. The functions are in ``module_utils/fedmsg_relay_plan/``."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


def load(package: str) -> None:
    """Make a package of ``module_utils`` importable, and nothing else: Ansible finds it only for modules.

    Args:
        package: its name. It is beside the folder of this file in a role and in a collection.
    """
    place = Path(__file__).parents[1] / "module_utils" / package
    spec = spec_from_file_location(package, place / "__init__.py", submodule_search_locations=[str(place)])
    if package not in sys.modules and spec and spec.loader:
        sys.modules[package] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[package])


load("fedmsg_relay_plan")

from fedmsg_relay_plan import (  # noqa: E402 - load()
    addresses,
    bridge,
    condition,
    config,
    endpoints,
    faults,
    firewall,
    global_config,
    inventory,
    plan,
    progress,
    releases,
    retire,
    settings,
    signing,
    standing,
    trust,
    uninstall,
    web,
)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """Name the filters.

        Returns:
            Each by the name that templates use.
        """
        return {
            "fedmsg_relay_achieved": progress.achieved,
            "fedmsg_relay_bound": addresses.bound,
            "fedmsg_relay_bus": inventory.bus,
            "fedmsg_relay_certnames": trust.certnames,
            "fedmsg_relay_command_links": releases.command_links,
            "fedmsg_relay_condition": condition.of,
            "fedmsg_relay_config_fault": config.fault_of,
            "fedmsg_relay_connectable": addresses.connectable,
            "fedmsg_relay_cut_off": endpoints.cut_off,
            "fedmsg_relay_endpoints": endpoints.of_relays,
            "fedmsg_relay_fault": faults.fault_of,
            "fedmsg_relay_global_config": global_config.global_config,
            "fedmsg_relay_key_differences": trust.differences,
            "fedmsg_relay_key_files": trust.key_files,
            "fedmsg_relay_listed": addresses.listed,
            "fedmsg_relay_merged": addresses.merged,
            "fedmsg_relay_monitored": global_config.monitored,
            "fedmsg_relay_named_by": uninstall.named_by,
            "fedmsg_relay_names": endpoints.names,
            "fedmsg_relay_needed": endpoints.needed,
            "fedmsg_relay_open_ports": firewall.open_ports,
            "fedmsg_relay_outcome": standing.outcome,
            "fedmsg_relay_own": endpoints.own,
            "fedmsg_relay_plan": plan.of,
            "fedmsg_relay_policy": trust.policy,
            "fedmsg_relay_progress": progress.progress,
            "fedmsg_relay_release_link": releases.release_link,
            "fedmsg_relay_relays": inventory.relays,
            "fedmsg_relay_retirement": retire.retirement,
            "fedmsg_relay_shell_group": trust.shell_group,
            "fedmsg_relay_signing_fault": signing.fault_of,
            "fedmsg_relay_spelled": addresses.spelled,
            "fedmsg_relay_stays": retire.relay_stays,
            "fedmsg_relay_still_waits": uninstall.unsent,
            "fedmsg_relay_superfluous": releases.superfluous,
            "fedmsg_relay_tables": settings.tables,
            "fedmsg_relay_unsent": bridge.unsent,
            "fedmsg_relay_unsigned": trust.unsigned,
            "fedmsg_relay_wanted_binds": settings.wanted_binds,
            "fedmsg_relay_ways": endpoints.ways,
            "fedmsg_relay_web_urls": web.urls,
            "fedmsg_relay_with_trust": settings.with_trust,
            "fedmsg_relay_without": addresses.without,
            "fedmsg_relay_without_crl": trust.without_crl,
        }
