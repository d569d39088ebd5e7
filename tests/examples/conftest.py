"""An example for every test module that names one: exported once, served once."""

import pytest

from tests.support.examples import running


@pytest.fixture(scope="module")
def example(request, tmp_path_factory):
    """The example that the module calls ``NAME``."""
    with running(request.module.NAME, tmp_path_factory.mktemp(request.module.NAME)) as example:
        yield example
