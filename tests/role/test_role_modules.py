"""The documentation of the role's modules says what they accept."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import yaml
from fedmsg_relay_host.installation import READ
from fedmsg_relay_host.look import ASK

from role_modules import MODULES


class Accepted(Exception):  # noqa: N818
    """Carries the options that a module accepts, in place of running it."""


def accepted(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    def stop(options: dict[str, Any], **arguments: Any) -> None:
        assert arguments["supports_check_mode"]
        raise Accepted(options)

    monkeypatch.setattr(module, "AnsibleModule", stop)
    with pytest.raises(Accepted) as caught:
        module.main()
    options: dict[str, Any] = caught.value.args[0]
    return options


def told(options: dict[str, Any], inner: str) -> dict[str, Any]:
    """Options by their properties; those of a list of dicts stand in `inner`."""
    kept = ("type", "elements", "choices", "required", "default")
    return {
        name: {
            **{key: option[key] for key in kept if key in option},
            **({"options": told(option[inner], inner)} if inner in option else {}),
        }
        for name, option in options.items()
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_documented_options_are_those_that_are_accepted(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)
    assert documented["module"] == module.__name__
    assert told(documented["options"], "suboptions") == told(accepted(module, monkeypatch), "options")


def test_what_a_look_returns_is_documented() -> None:
    [look] = [module for module in MODULES if module.__name__ == "fedmsg_relay_look"]
    assert sorted(yaml.safe_load(look.RETURN)) == sorted([*READ, *ASK])
