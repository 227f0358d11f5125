"""Settings: the environment becomes one frozen object, and every setting can be listed."""

from dadm.settings.bounds import turn_limits
from dadm.settings.groups import NamedEngineSettings
from dadm.settings.model import Settings
from dadm.settings.overview import (
    EffectiveSetting,
    KnownSetting,
    effective_settings,
    failpoint_warning,
    known_settings,
    load_settings,
    unknown_variables,
)

__all__ = [
    "EffectiveSetting",
    "KnownSetting",
    "NamedEngineSettings",
    "Settings",
    "effective_settings",
    "failpoint_warning",
    "known_settings",
    "load_settings",
    "turn_limits",
    "unknown_variables",
]
