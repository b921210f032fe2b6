"""Putting kernels into networks: finding targets, adapters, the placeholder, the replaced network.

Importing this package makes torchvision (and what imports it, such as Lightning) importable; import it first.
"""

from kas.replacement import _torchvision

_torchvision.ensure_importable()

from kas.replacement.adapters import AdaptedLayer, adapt  # noqa: E402
from kas.replacement.checks import check_replaced, only_replaced_train  # noqa: E402
from kas.replacement.finding import Survey, find_targets, survey  # noqa: E402
from kas.replacement.fusing import fuse  # noqa: E402
from kas.replacement.placeholder import Placeholder  # noqa: E402
from kas.replacement.replace import replace, replace_layers  # noqa: E402
from kas.replacement.running import materialised  # noqa: E402
from kas.replacement.standin import StandIn  # noqa: E402

__all__ = [
    "AdaptedLayer",
    "Placeholder",
    "StandIn",
    "Survey",
    "adapt",
    "check_replaced",
    "find_targets",
    "fuse",
    "materialised",
    "only_replaced_train",
    "replace",
    "replace_layers",
    "survey",
]
