"""Where the relay is today: a script that goes on running looks again when the relay may have moved."""

from __future__ import annotations

from fedmsg_relay.config import PLACES, Config, Reading, listed, merged


def read_again(config: Config, reading: Reading) -> tuple[Config, Reading]:
    """Look again where the relay is: somebody may have moved it since the files were read.

    Args:
        config: a merged config, or what a script made of it.
        reading: that the config comes from.

    Returns:
        The config, with today's addresses of the relay in place of those that came from the files; what the script
        itself has chosen stays. And the reading that this comes from.

    Raises:
        ConfigError: as for :func:`load_config`.
    """
    if not reading.places:
        return config, reading  # it comes from no files
    fresh = merged(reading.filenames, {}, reading.here)
    places = {key: listed(fresh.get(key)) for key in PLACES}
    moved = {
        key: fresh.get(key)
        for key in PLACES
        if listed(config.get(key)) == reading.places[key] and places[key] != reading.places[key]
    }
    return {**config, **moved}, reading._replace(places=places)
