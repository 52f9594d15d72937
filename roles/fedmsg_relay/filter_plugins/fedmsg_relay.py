"""The filters of the role. The functions are in ``module_utils/fedmsg_relay_plan/``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "module_utils"))

from fedmsg_relay_plan import addresses, condition, faults, plan, retire, service, steps, web


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """Name the filters.

        Returns:
            Each by the name that templates use.
        """
        return {
            "fedmsg_relay_bound": addresses.bound,
            "fedmsg_relay_without": addresses.without,
            "fedmsg_relay_merged": addresses.merged,
            "fedmsg_relay_spelled": addresses.spelled,
            "fedmsg_relay_unused": addresses.unused,
            "fedmsg_relay_use": addresses.use,
            "fedmsg_relay_listed": addresses.listed,
            "fedmsg_relay_connectable": addresses.connectable,
            "fedmsg_relay_condition": condition.of,
            "fedmsg_relay_fault": faults.fault_of,
            "fedmsg_relay_plan": plan.of,
            "fedmsg_relay_with": steps.hosts_with,
            "fedmsg_relay_demands": service.demands,
            "fedmsg_relay_stays": retire.relay_stays,
            "fedmsg_relay_addresses_stay": retire.addresses_stay,
            "fedmsg_relay_web_urls": web.urls,
        }
