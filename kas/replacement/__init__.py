"""Putting kernels into networks: finding targets, adapters, the placeholder, the replaced network.

Importing this package makes torchvision (and what imports it, such as Lightning) importable; import it first.
"""

from kas.replacement import _torchvision

_torchvision.ensure_importable()

from kas.replacement.adapters import AdaptedLayer, adapt  # noqa: E402
from kas.replacement.finding import Survey, find_targets, survey  # noqa: E402
from kas.replacement.fusing import fuse  # noqa: E402
from kas.replacement.placeholder import Placeholder  # noqa: E402
from kas.replacement.replace import replace, replace_layers  # noqa: E402

__all__ = ["AdaptedLayer", "Placeholder", "Survey", "adapt", "find_targets", "fuse", "replace", "replace_layers", "survey"]
