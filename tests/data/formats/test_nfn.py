"""NFN's SIREN sets, in exactly their layout."""

import numpy as np
import pytest

from tests.data.formats.conftest import refused, save_state
from tests.data.formats.references import COLOR_WIDTHS, DWS_WIDTHS, dense_state
from wsjax.data.formats.nfn import read_nfn_sirens

NAMES = ["net.0.linear", "net.1.linear", "net.2"]
BASE, COPY = "randinit_smaller", "randinit_smaller_aug{}"


def write(root, prefix, label, number, network, widths=DWS_WIDTHS):
    return save_state(root / f"{prefix}_{label}s" / f"net{number}.pth", dense_state(NAMES, widths, network))


def read(root, images=None, **settings):
    data = read_nfn_sirens(root, images, progress=False, **settings)
    return data.take(np.lexsort([data.columns["image"], data.columns["view"]]))


@pytest.fixture
def sirens(tmp_path):
    """Images 0, 1, 2 of labels 7, 3, 7; a second and a twelfth copy of each."""
    root = tmp_path / "siren_mnist_wts"
    for number, label in enumerate((7, 3, 7)):
        write(root, BASE, label, number, number)
        write(root, COPY.format(0), label, number, (number + 1) % 3)
        write(root, COPY.format(1), label, number, (number + 2) % 3)
    return root


def test_the_first_fits_alone_are_never_mixed_with_copies(sirens, agrees):
    data = read(sirens, cuts=(1, 2))
    assert (data.label.tolist(), data.columns["image"].tolist()) == ([7, 3, 7], [0, 1, 2])
    assert (data.columns["split"].tolist(), data.columns["view"].tolist()) == ([0, 1, 2], [0, 0, 0])
    agrees(data, [0, 1, 2])
    metadata = data.metadata
    assert metadata.network is not None
    assert (metadata.coordinate_order, metadata.value_range, metadata.network.offset) == ("ij", (-1.0, 1.0), 0.0)
    assert (metadata.image_shape, metadata.source["views_there"], metadata.name) == ((28, 28, 1), 3, "nfn-mnist")


def test_copies_are_views_of_the_same_image(sirens, agrees):
    data = read(sirens, views=None, cuts=(1, 2))
    assert data.columns["view"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert data.label.tolist() == [7, 3, 7] * 3
    agrees(data, [0, 1, 2, 1, 2, 0, 2, 0, 1])
    assert len(read(sirens, views=2, cuts=(1, 2))) == 6
    for settings, message in (({"views": 4}, r"views is 4; .* has 3"), ({"cuts": (2, 1)}, "the second of cuts is 1")):
        with pytest.raises(ValueError, match=message):
            read(sirens, **settings)


def test_color_networks_and_the_usual_cuts(tmp_path, agrees):
    root = tmp_path / "weights"
    for number in range(3):
        write(root, BASE, 2, number, number, COLOR_WIDTHS)
    with pytest.raises(ValueError, match="does not say what its networks show; pass images=, one of mnist"):
        read(root)
    data = read(root, "cifar")
    agrees(data, [0, 1, 2])
    assert (data.metadata.image_shape, data.metadata.classes[2]) == ((32, 32, 3), "bird")
    assert (data.columns["split"].tolist(), data.metadata.source["cuts"]) == ([0, 0, 0], [45_000, 50_000])


def test_what_does_not_add_up_is_named(sirens, tmp_path):
    other = write(sirens, COPY.format(0), 5, 1, 0)
    both = "(_5s/net1.pth and .*_3s/net1.pth|_3s/net1.pth and .*_5s/net1.pth) both hold image 1"
    refused(read, both, sirens, views=2)
    other.unlink()
    (sirens / "randinit_smaller_aug0_3s/net1.pth").unlink()
    write(sirens, COPY.format(0), 5, 1, 0)
    refused(read, "gives image 1 the label", sirens, views=2)
    assert len(read(sirens, leave_out=["randinit_smaller_3s/net1.pth"])) == 2
    (sirens / "randinit_smaller_3s/net1.pth").unlink()
    refused(read, r"no file holds image 1 \(1 of 3 are missing\)", sirens)
    write(sirens, BASE, 3, 1, 0, COLOR_WIDTHS)
    refused(read, r"randinit_smaller_3s/net1.pth: weights\[2\].kernel has shape \(32, 3\)", sirens)
    write(tmp_path / "copies", COPY.format(0), 5, 0, 0)
    refused(read, r"no file holds image 0 \(1 of 1 are missing\)", tmp_path / "copies", "mnist")
