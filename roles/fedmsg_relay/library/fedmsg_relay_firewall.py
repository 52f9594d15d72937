#!/usr/bin/python
"""Opens the ports of the relay in firewalld, and closes ports that it does not need any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: fedmsg_relay_firewall
short_description: Open the ports of the relay in firewalld, and close the others of its own
description:
  - The ports are those of a service of firewalld, which is this module's own. So it knows which ports it has opened.
  - The service is part of the default zone. The module changes nothing else of the firewall.
  - What it changes is permanent. Then it lets firewalld reload, which forgets what others changed at runtime only.
options:
  service: {description: The name of the service., type: str, required: true}
  ports:
    description: TCP ports to be open. Without any, the service is removed.
    type: list
    elements: int
    required: true
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Open the ports of the relay
  fedmsg_relay_firewall:
    service: fedmsg-relay
    ports: [3999, 9941, 9942]
"""

RETURN = """
ports: {description: The open ports of the service before., type: list, elements: int, returned: always}
"""

Run = Callable[[Sequence[str]], "tuple[int, str]"]


@dataclass(frozen=True)
class Seen:
    """What firewalld has.

    Attributes:
        zone: the default zone.
        exists: whether the service exists.
        ports: the ports of the service, such as ``9941/tcp``.
        zones: the zones with the service.
        in_force: whether all that is what the firewall does now.
    """

    zone: str
    exists: bool = False
    ports: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    in_force: bool = True


def look(run: Run, service: str) -> Seen:
    """Ask firewalld.

    Args:
        run: runs ``firewall-cmd`` with arguments, and returns its exit code and output.
        service: the name of the service.

    Returns:
        What it has.
    """
    zone = run(["--get-default-zone"])[1]
    if service not in run(["--permanent", "--get-services"])[1].split():
        # firewalld forgets a service that was removed with the next reload.
        return Seen(zone, in_force=service not in run(["--get-services"])[1].split())
    ports = tuple(sorted(run(["--permanent", f"--service={service}", "--get-ports"])[1].split()))
    every = run(["--permanent", "--get-zones"])[1].split()
    zones = tuple(name for name in every if _has(run, ["--permanent", f"--zone={name}"], service))
    lines = [line.partition(":") for line in run([f"--info-service={service}"])[1].splitlines()]
    now = next((tuple(sorted(value.split())) for key, _, value in lines if key.strip() == "ports"), ())
    in_force = now == ports and all(_has(run, [f"--zone={name}"], service) for name in zones)
    return Seen(zone, True, ports, zones, in_force)


def _has(run: Run, where: Sequence[str], service: str) -> bool:
    return run([*where, f"--query-service={service}"])[0] == 0


def commands(service: str, ports: Sequence[int], seen: Seen) -> list[list[str]]:
    """Decide what has to be changed.

    Args:
        service: the name of the service.
        ports: those to be open.
        seen: what firewalld has.

    Returns:
        The arguments of ``firewall-cmd``, in order. None if all is as it should be.
    """
    wanted = [f"{port}/tcp" for port in sorted(set(ports))]
    own = ["--permanent", f"--service={service}"]
    made: list[list[str]] = []
    if wanted:
        if not seen.exists:
            made.append(["--permanent", f"--new-service={service}"])
            made.append([*own, "--set-description=Ansible managed: role fedmsg_relay"])
        made += [[*own, f"--add-port={port}"] for port in wanted if port not in seen.ports]
        made += [[*own, f"--remove-port={port}"] for port in seen.ports if port not in wanted]
        if seen.zone not in seen.zones:
            made.append(["--permanent", f"--zone={seen.zone}", f"--add-service={service}"])
    elif seen.exists:
        # A zone with a service that is not there would keep firewalld from loading.
        made += [["--permanent", f"--zone={zone}", f"--remove-service={service}"] for zone in seen.zones]
        made.append(["--permanent", f"--delete-service={service}"])
    if made or not seen.in_force:
        made.append(["--reload"])
    return made


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        {
            "service": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "int", "required": True},
        },
        supports_check_mode=True,
    )
    program = module.get_bin_path("firewall-cmd")
    if not program or module.run_command([program, "--state"])[0] != 0:
        module.fail_json(
            msg="fedmsg_relay_firewalld is set, and firewalld does not run on this host. Install and start it, or set "
            "fedmsg_relay_firewalld: false for this host."
        )

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        code, output, _ = module.run_command([program, *arguments])
        return code, output.strip()

    service, ports = module.params["service"], module.params["ports"]
    seen = look(run, service)
    made = commands(service, ports, seen)
    for arguments in made if not module.check_mode else ():
        code, output, error = module.run_command([program, *arguments])
        if code != 0:
            module.fail_json(msg=f"firewall-cmd {' '.join(arguments)} failed: {(error or output).strip()}")
    module.exit_json(
        changed=bool(made),
        ports=[int(port.partition("/")[0]) for port in seen.ports],
        diff={
            "before": "".join(f"{port}\n" for port in seen.ports),
            "after": "".join(f"{port}/tcp\n" for port in sorted(set(ports))),
            "before_header": f"open in firewalld: {service}",
            "after_header": f"open in firewalld: {service}",
        },
    )


if __name__ == "__main__":
    main()
