"""Augmentation: a view depends on its sample alone, sides stay right, pixels agree with a slow reference."""

import numpy as np
import pytest
import torch

from medslip_core.augment import AugmentParams, augment, augment_masks, draw_views, flip_matrix
from medslip_core.vocabulary import ANATOMY_INDEX

NOTHING = AugmentParams(
    crop_scale=(1, 1), crop_ratio=(1, 1), rotation_deg=0, flip_prob=0, sharpness=0, contrast=0, brightness=0
)
EVERYTHING = AugmentParams(gamma=0.3, noise=0.1)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8))


def only(**ranges) -> AugmentParams:
    return AugmentParams(**{**NOTHING.to_dict(), **ranges})


def test_nothing_asked_for_changes_nothing(images):
    before = images.clone()
    grey = augment(images, draw_views(NOTHING, 0, 0, np.arange(6)), 32)
    assert torch.allclose(grey, images / 255, atol=1e-5) and grey.dtype == torch.float32
    assert torch.equal(images, before)


def test_a_view_does_not_depend_on_its_batch(images):
    rows = np.array([40, 3, 17, 99, 5, 8])
    together = augment(images, draw_views(EVERYTHING, 1, 2, rows), 32)
    for number in range(6):
        alone = augment(images[number : number + 1], draw_views(EVERYTHING, 1, 2, rows[number : number + 1]), 32)
        assert torch.equal(alone[0], together[number])
    shuffled = [4, 2, 0, 5, 1, 3]
    assert torch.equal(augment(images[shuffled], draw_views(EVERYTHING, 1, 2, rows[shuffled]), 32), together[shuffled])


def test_epochs_and_seeds_give_other_views(images):
    first, *others = (
        augment(images, draw_views(EVERYTHING, seed, epoch, np.arange(6)), 32)
        for seed, epoch in [(0, 0), (0, 1), (1, 0)]
    )
    assert 0 <= first.min() and first.max() <= 1
    assert all((first - other).abs().mean(dim=(1, 2)).min() > 0.01 for other in others)


def test_a_flip_mirrors_the_image(images):
    views = draw_views(only(flip_prob=1), 0, 0, np.arange(6))
    assert views.flipped.all()
    assert torch.allclose(augment(images, views, 32), images.flip(2) / 255, atol=1e-5)
    share = draw_views(only(flip_prob=0.3), 0, 0, np.arange(5000)).flipped.float().mean()
    assert 0.27 < share < 0.33


def test_a_flip_swaps_every_left_right_pair_of_the_labels():
    matrix = torch.arange(51, dtype=torch.int8)[None, :, None].repeat(2, 1, 75)  # every entry names its row
    before = matrix.clone()
    flipped = flip_matrix(matrix, torch.tensor([True, False]))
    assert torch.equal(matrix, before) and torch.equal(flipped[1], matrix[1])
    swapped = 0
    for anatomy, row in ANATOMY_INDEX.items():
        words = anatomy.split("_")
        mirrored = "_".join({"left": "right", "right": "left"}.get(word, word) for word in words)
        expected = ANATOMY_INDEX.get(mirrored, row)
        if anatomy == "middle_right_lobe":  # the left lung has none: nothing can be said of a mirrored one
            expected = -1
        assert (flipped[0, row] == expected).all(), anatomy
        swapped += expected not in (row, -1)
    assert swapped == 2 * 11  # right atrium and right ventricle name chambers and stay


def test_a_view_agrees_with_a_slow_reference(images):
    """Crop, rotation and flip by hand: each output pixel looked up bilinearly in the input."""
    size, source = 24, 32
    params = only(crop_scale=(0.3, 0.9), crop_ratio=(0.6, 1.7), rotation_deg=40, flip_prob=0.5, contrast=0.5,
                  brightness=0.2, gamma=0.5)  # fmt: skip
    views = draw_views(params, 5, 6, np.arange(6))
    assert 0 < views.flipped.sum() < 6
    grey = augment(images, views, size).numpy()
    for number in range(6):
        a, b, centre_x, c, d, centre_y = views.affine[number].flatten().tolist()
        # the matrix is crop x rotation x flip: columns of length width and height, at right angles
        assert a * b + c * d == pytest.approx(0, abs=1e-6)
        assert 0.3 <= np.hypot(a, c) * np.hypot(b, d) <= 0.9 + 1e-6
        assert np.sign(a * d - b * c) == (-1 if views.flipped[number] else 1)
        image = images[number].numpy() / 255
        for v in range(0, size, 5):
            for u in range(0, size, 5):
                x, y = (2 * u + 1) / size - 1, (2 * v + 1) / size - 1
                column = (a * x + b * y + centre_x + 1) * source / 2 - 0.5
                row = (c * x + d * y + centre_y + 1) * source / 2 - 0.5
                value = bilinear(image, row, column) ** float(views.gamma[number])
                value = (value - 0.5) * float(views.contrast[number]) + 0.5 + float(views.brightness[number])
                assert grey[number, v, u] == pytest.approx(np.clip(value, 0, 1), abs=2e-4)


def test_sharpening_agrees_with_a_slow_reference(images):
    views = draw_views(only(sharpness=0.9), 3, 4, np.arange(6))
    grey = augment(images, views, 32).numpy()
    for number in range(6):
        image, strength = images[number].numpy() / 255, float(views.sharpness[number])
        edged = np.pad(image, 1, mode="edge")
        for v, u in [(0, 0), (0, 31), (31, 5), (7, 9), (16, 30)]:
            near = edged[v : v + 3, u : u + 3]
            blurred = sum(
                near[i, j] * w * z for i, w in enumerate((0.25, 0.5, 0.25)) for j, z in enumerate((0.25, 0.5, 0.25))
            )
            value = np.clip(image[v, u] + strength * (image[v, u] - blurred), 0, 1)
            assert grey[number, v, u] == pytest.approx(value, abs=1e-4)


def test_a_flipped_view_is_the_mirror_of_the_other_side(images):
    """A patient seen mirrored: image and labels of a flip, flipped again, are those without it."""
    views = draw_views(only(flip_prob=1), 0, 0, np.arange(6))
    matrix = torch.from_numpy(np.random.default_rng(1).integers(-1, 2, (6, 51, 75), dtype=np.int8))
    matrix[:, ANATOMY_INDEX["middle_right_lobe"]] = -1
    twice = flip_matrix(flip_matrix(matrix, views.flipped), views.flipped)
    assert torch.equal(twice, matrix) and not torch.equal(flip_matrix(matrix, views.flipped), matrix)
    assert torch.allclose(augment(images, views, 32).flip(2), images / 255, atol=1e-5)


def bilinear(image: np.ndarray, row: float, column: float) -> float:
    total = 0.0
    for i in (int(np.floor(row)), int(np.floor(row)) + 1):
        for j in (int(np.floor(column)), int(np.floor(column)) + 1):
            if 0 <= i < image.shape[0] and 0 <= j < image.shape[1]:
                total += (1 - abs(row - i)) * (1 - abs(column - j)) * image[i, j]
    return total


def test_the_crop_stays_inside_the_image():
    views = draw_views(only(crop_scale=(0.1, 1.0), crop_ratio=(0.5, 2.0)), 0, 0, np.arange(2000))
    half = torch.stack([views.affine[:, 0, 0], views.affine[:, 1, 1]], dim=1)
    centre = views.affine[:, :, 2]
    assert (centre.abs() + half <= 1 + 1e-6).all() and centre.abs().max() > 0.5


def test_sharpness_and_noise(images):
    flat = torch.full((4, 32, 32), 128, dtype=torch.uint8)
    views = draw_views(only(noise=0.2), 0, 0, np.arange(4))
    noise = augment(flat, views, 32) - 128 / 255
    assert torch.allclose(noise.std(dim=(1, 2)), views.noise, rtol=0.1)
    assert noise.flatten(1).corrcoef().triu(1).abs().max() < 0.12  # each sample has its own
    views = draw_views(only(sharpness=0.9), 0, 0, np.arange(6))
    spread = augment(images, views, 32).std(dim=(1, 2)) - (images / 255).std(dim=(1, 2))
    assert torch.equal(spread > 0, views.sharpness > 0)


def test_the_defaults_are_the_published_ranges():
    strength = 7 / 10  # RandAugment(2, 7): rotation up to 30 degrees, enhancement 0.1 + 1.8 x strength about 1
    enhanced = pytest.approx(0.1 + 1.8 * strength - 1)
    assert AugmentParams().to_dict() == {
        "crop_scale": [0.2, 1.0], "crop_ratio": [3 / 4, 4 / 3], "flip_prob": 0.5,
        "rotation_deg": pytest.approx(30 * strength), "sharpness": enhanced, "contrast": enhanced,
        "brightness": 0.1, "gamma": 0.0, "noise": 0.0,
    }  # fmt: skip


def test_rotation_and_noise_fill_their_ranges():
    views = draw_views(only(rotation_deg=30, noise=0.2), 0, 0, np.arange(2000))
    degrees = torch.rad2deg(torch.atan2(views.affine[:, 1, 0], views.affine[:, 0, 0]))
    assert -30 <= degrees.min() < -29 and 29 < degrees.max() <= 30 and degrees.mean().abs() < 1
    assert 0 <= views.noise.min() < 0.01 and 0.19 < views.noise.max() <= 0.2


def test_twice_the_side_is_averaged_down_before_the_crop():
    stripes = torch.zeros(1, 64, 64, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    grey = augment(stripes, draw_views(only(crop_scale=(0.25, 0.25)), 0, 0, np.arange(1)), 32)  # of 32 pixels a side
    assert torch.allclose(grey, torch.full_like(grey, 1 / 2), atol=1e-5)


def test_an_image_and_its_mask_keep_together_at_any_size():
    side = torch.zeros(1, 95, 95, dtype=torch.uint8)
    side[:, :, 90:] = 255  # what pooling in threes leaves over lies in it
    views = draw_views(NOTHING, 0, 0, np.arange(1))
    grey, mask = augment(side, views, 32), augment_masks(side > 0, views, 32)
    assert torch.equal(grey > 0.5, mask)


def test_a_larger_corpus_is_averaged_down_not_skipped():
    stripes = torch.zeros(1, 96, 96, dtype=torch.uint8)
    stripes[:, :, ::3] = 255  # every third column: looking up single pixels would give all or nothing
    grey = augment(stripes, draw_views(NOTHING, 0, 0, np.arange(1)), 32)
    assert torch.allclose(grey, torch.full_like(grey, 1 / 3), atol=1e-5)
