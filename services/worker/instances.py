"""An instance's values, and how its walk through a stage ended."""

from shared.errors import ServingError
from shared.tensors import Value

Values = tuple[Value, ...]
Outcome = Values | ServingError
