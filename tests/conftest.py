"""What tests of more than one folder set up."""

import pytest


@pytest.fixture
def own_settings_of_figures():
    """Canvases set the font of all figures: of those of this test alone."""
    mpl = pytest.importorskip("matplotlib")
    with mpl.rc_context():
        yield
