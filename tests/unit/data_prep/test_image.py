"""Every kind of image file ends in the same grey levels, within one level of a reference array."""

import importlib.util
import io

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from data_prep.errors import DataError, UnreadableImage
from data_prep.image import read_grey, read_header
from data_prep.image.levels import spread

RAMP = np.add.outer(np.arange(48) * 3, np.arange(64) * 1.8).astype(np.uint8)  # no symmetry: rotations would show
FULL = np.linspace(0, 255, 48 * 64).reshape(48, 64)  # 0 … 255, for depths that are spread over the whole range


def assert_close(path, expected, levels=1):
    pixels = read_grey(path).pixels
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(float) - expected).max() <= levels


# Pictures


def test_grey_png_is_read_as_it_is(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    assert_close(tmp_path / "a.png", RAMP, levels=0)


def test_a_path_may_be_a_text(tmp_path, write_dicom):
    write_dicom(tmp_path / "a.dcm", RAMP)
    assert (read_grey(str(tmp_path / "a.dcm")).pixels == read_grey(tmp_path / "a.dcm").pixels).all()
    assert read_header(str(tmp_path / "a.dcm")).width_px == 64
    with pytest.raises(UnreadableImage, match="b.png: cannot be opened"):
        read_grey(str(tmp_path / "b.png"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colour_and_opaque_alpha_give_luma(tmp_path, mode):
    Image.fromarray(RAMP).convert(mode).save(tmp_path / "a.png")
    assert_close(tmp_path / "a.png", RAMP)


def test_colour_is_weighted_and_not_its_first_channel(tmp_path):
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[..., 0] = 200
    Image.fromarray(colour).save(tmp_path / "a.png")
    assert_close(tmp_path / "a.png", np.full((4, 4), 0.299 * 200))


def test_transparent_pixels_are_black(tmp_path):
    rgba = np.full((4, 4, 4), 200, np.uint8)
    rgba[:2, :, 3], rgba[2:, :, 3] = 0, 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert_close(tmp_path / "a.png", np.repeat([0, 200], 2)[:, None] * np.ones((1, 4)))


def test_palette_is_looked_up(tmp_path):
    image = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4), "P")
    image.putpalette([level for index in range(16) for level in [255 - 16 * index] * 3])
    image.save(tmp_path / "a.png")
    assert_close(tmp_path / "a.png", 255 - 16 * np.arange(16).reshape(4, 4))


def test_one_bit_is_black_and_white(tmp_path):
    bits = np.indices((8, 8)).sum(axis=0) % 2 == 1
    Image.fromarray(bits).save(tmp_path / "a.png")
    assert_close(tmp_path / "a.png", bits * 255, levels=0)


@pytest.mark.parametrize("highest", [65535, 4095, 900], ids=["16-bit", "12-bit", "dark"])
def test_sixteen_bit_png_is_spread_over_its_own_range(tmp_path, highest):
    cv2.imwrite(str(tmp_path / "a.png"), np.rint(FULL / 255 * highest).astype(np.uint16))
    assert_close(tmp_path / "a.png", FULL)


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colour_png_keeps_its_twelve_bits(tmp_path, channels):
    grey = np.rint(FULL / 255 * 4095).astype(np.uint16)
    colour = np.dstack([grey] * 3 + [np.full_like(grey, 65535)])[..., :channels]
    cv2.imwrite(str(tmp_path / "a.png"), colour)
    assert_close(tmp_path / "a.png", FULL)


def test_a_transparent_level_of_a_sixteen_bit_png_stays_what_it_is(tmp_path):
    image = Image.fromarray(np.rint(FULL / 255 * 4095).astype(np.uint16))
    image.save(tmp_path / "a.png", transparency=0)
    assert_close(tmp_path / "a.png", FULL)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_called_dicom_is_read_as_a_picture(tmp_path, kind):
    Image.fromarray(RAMP).save(tmp_path / "a.dcm", kind)
    assert_close(tmp_path / "a.dcm", RAMP, levels=6)


def test_jpeg(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", quality=98)
    assert_close(tmp_path / "a.jpg", RAMP, levels=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    stored = Image.fromarray(RAMP)
    for step in {
        2: ["FLIP_LEFT_RIGHT"], 3: ["ROTATE_180"], 4: ["FLIP_TOP_BOTTOM"], 5: ["TRANSPOSE"], 6: ["ROTATE_90"],
        7: ["TRANSVERSE"], 8: ["ROTATE_270"],
    }.get(orientation, []):  # fmt: skip
        stored = stored.transpose(Image.Transpose[step])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert_close(tmp_path / "a.png", RAMP, levels=0)


# DICOM


def test_eight_bit_dicom_is_read_as_it_is(tmp_path, write_dicom):
    assert_close(write_dicom(tmp_path / "a.dcm", RAMP), RAMP, levels=0)


def test_monochrome1_is_inverted(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", 255 - RAMP, PhotometricInterpretation="MONOCHROME1")
    assert_close(path, RAMP, levels=0)


@pytest.mark.parametrize("stored_bits", [10, 12, 14, 16])
def test_depth_without_window_is_spread(tmp_path, write_dicom, stored_bits):
    stored = np.rint(FULL / 255 * (2**stored_bits - 1)).astype(np.uint16)
    assert_close(write_dicom(tmp_path / "a.dcm", stored, BitsStored=stored_bits), FULL)


def test_twelve_bits_announced_as_sixteen_do_not_come_out_black(tmp_path, write_dicom):
    stored = np.rint(FULL / 255 * 4095).astype(np.uint16)
    assert_close(write_dicom(tmp_path / "a.dcm", stored), FULL)


def test_bits_above_bits_stored_are_dropped(tmp_path, write_dicom):
    stored = np.rint(FULL / 255 * 4095).astype(np.uint16) | 0xF000
    assert_close(write_dicom(tmp_path / "a.dcm", stored, BitsStored=12), FULL)


def test_signed_values(tmp_path, write_dicom):
    stored = (np.rint(FULL / 255 * 4095) - 2048).astype(np.int16)
    assert_close(write_dicom(tmp_path / "a.dcm", stored), FULL)
    packed = (stored.view(np.uint16) & 0x0FFF).view(np.int16)  # the sign is bit 11
    assert_close(write_dicom(tmp_path / "b.dcm", packed, BitsStored=12), FULL)


def test_window_clips_and_spreads(tmp_path, write_dicom):
    stored = np.rint(FULL * 16).astype(np.uint16)
    path = write_dicom(tmp_path / "a.dcm", stored, BitsStored=12, WindowCenter=2000.5, WindowWidth=1001)
    assert_close(path, np.clip((stored - 1500.0) / 1000, 0, 1) * 255)


def test_first_of_several_windows_counts(tmp_path, write_dicom):
    stored = np.rint(FULL * 16).astype(np.uint16)
    path = write_dicom(tmp_path / "a.dcm", stored, WindowCenter=[2000.5, 100], WindowWidth=[1001, 50])
    assert_close(path, np.clip((stored - 1500.0) / 1000, 0, 1) * 255)


@pytest.mark.parametrize(("centres", "widths"), [
    ([0, 2000.5], [0, 1001]), ([7, 2000.5, 100], [1, 1001, 50]), ([9, 9, 2000.5], [-5, 0, 1001]),
])  # fmt: skip
def test_the_first_usable_of_several_windows_counts(tmp_path, write_dicom, centres, widths):
    stored = np.rint(FULL * 16).astype(np.uint16)
    path = write_dicom(tmp_path / "a.dcm", stored, WindowCenter=centres, WindowWidth=widths)
    assert_close(path, np.clip((stored - 1500.0) / 1000, 0, 1) * 255)


def test_several_windows_of_which_none_is_usable_are_ignored(tmp_path, write_dicom):
    assert_close(write_dicom(tmp_path / "a.dcm", RAMP, WindowCenter=[5, 5], WindowWidth=[0, 1]), RAMP, levels=0)


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_other_window_functions(tmp_path, write_dicom, function):
    stored = np.rint(FULL * 16).astype(np.uint16)
    tags = {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": function}
    through = {
        "LINEAR_EXACT": np.clip((stored - 2000.0) / 1000 + 0.5, 0, 1),
        "SIGMOID": 1 / (1 + np.exp(-4 * (stored - 2000.0) / 1000)),
    }[function]
    assert_close(write_dicom(tmp_path / "a.dcm", stored, **tags), through * 255)


@pytest.mark.parametrize(("function", "centre", "width"), [("LINEAR", 98, 6), ("LINEAR_EXACT", 97.5, 5)])
def test_linear_windows_by_hand(tmp_path, write_dicom, function, centre, width):
    """PS3.3 C.11.2.1.2.1, (x - (c - 0.5)) / (w - 1) + 0.5, and C.11.2.1.3.2, (x - c) / w + 0.5: 0 at 95, 1 at 100."""
    tags = {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function}
    path = write_dicom(tmp_path / "a.dcm", np.arange(94, 102, dtype=np.uint8)[None], **tags)
    assert_close(path, np.array([[0, 0, 51, 102, 153, 204, 255, 255]]), levels=0)


def test_rescale_comes_before_the_window(tmp_path, write_dicom):
    stored = np.rint(FULL * 16).astype(np.uint16)
    tags = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 3000.5, "WindowWidth": 2001}
    expected = np.clip((stored * 2.0 - 1000 - 2000) / 2000, 0, 1) * 255
    assert_close(write_dicom(tmp_path / "a.dcm", stored, **tags), expected)


@pytest.mark.parametrize("tags", [{}, {"PhotometricInterpretation": "MONOCHROME1"}, {"PixelPaddingValue": 7}])
def test_a_rescale_that_changes_nothing_leaves_eight_bit_levels_as_they_are(tmp_path, write_dicom, tags):
    levels = RAMP // 2 + 20
    plain = read_grey(write_dicom(tmp_path / "a.dcm", levels, **tags)).pixels
    assert np.ptp(plain) == np.ptp(levels)
    path = write_dicom(tmp_path / "b.dcm", levels, RescaleSlope="1.0", RescaleIntercept="0", **tags)
    assert_close(path, plain, levels=0)


@pytest.mark.parametrize(("slope", "intercept"), [(2, 0), (1, -10), (-1, 255)])
def test_a_rescale_that_changes_something_is_spread(tmp_path, write_dicom, slope, intercept):
    path = write_dicom(tmp_path / "a.dcm", RAMP // 2 + 20, RescaleSlope=slope, RescaleIntercept=intercept)
    assert_close(path, spread((RAMP // 2 + 20.0) * slope + intercept), levels=0)


def test_useless_window_is_ignored(tmp_path, write_dicom):
    assert_close(write_dicom(tmp_path / "a.dcm", RAMP, WindowCenter=0, WindowWidth=0), RAMP, levels=0)


def test_voi_lookup_table(tmp_path, write_dicom):
    table = pydicom.Dataset()
    table.LUTDescriptor = [256, 0, 8]
    table["LUTDescriptor"].VR = "US"
    table.LUTData = [255 - level for level in range(256)]
    table["LUTData"].VR = "US"
    path = write_dicom(tmp_path / "a.dcm", RAMP, VOILUTSequence=[table])
    assert_close(path, 255.0 - RAMP)


def voi_table(entries, bits, data, vr="OW"):
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "US", [entries, 0, bits])
    table.add_new("LUTData", vr, data)
    return table


@pytest.mark.parametrize("layout", ["packed", "a word each", "packed numbers", "numbers"])
@pytest.mark.parametrize("entries", [256, 4096])
def test_voi_table_of_eight_bits(tmp_path, write_dicom, entries, layout):
    """Two entries to a word, as DICOM's CP-522 has them, or one, as many write them; as bytes or as numbers."""
    stored = np.rint(FULL / 255 * (entries - 1)).astype(np.uint16)
    levels = (255 * (np.arange(entries)[::-1] / (entries - 1)) ** 2).astype(np.uint8)
    words = levels.view("<u2") if "packed" in layout else levels.astype("<u2")
    data = (words.tolist(), "US") if "numbers" in layout else (words.tobytes(), "OW")
    path = write_dicom(tmp_path / "a.dcm", stored, BitsStored=12, VOILUTSequence=[voi_table(entries, 8, *data)])
    assert_close(path, levels[stored], levels=0)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_table_that_lacks_entries_is_refused(tmp_path, write_dicom, bits):
    table = voi_table(256, bits, bytes(254 if bits == 8 else 510))
    with pytest.raises(UnreadableImage, match="truncated or damaged"):
        read_grey(write_dicom(tmp_path / "a.dcm", RAMP, VOILUTSequence=[table]))


@pytest.mark.parametrize(("announced", "highest", "white"), [
    (16, 4095, 255), (8, 102, 255), (8, 204, 204), (8, 4095, 255), (12, 65535, 255),
])  # fmt: skip
def test_a_voi_table_of_other_bits_than_it_announces_comes_out_neither_black_nor_white(
    tmp_path, write_dicom, announced, highest, white
):
    table = voi_table(256, announced, np.rint(np.arange(256) / 255 * highest).astype("<u2").tobytes())
    path = write_dicom(tmp_path / "a.dcm", np.rint(FULL).astype(np.uint8), VOILUTSequence=[table])
    assert_close(path, np.rint(FULL) * white / 255, levels=1.5 if announced == 8 else 1)


def test_padding_becomes_black_and_does_not_stretch_the_levels(tmp_path, write_dicom):
    stored = np.rint(FULL / 255 * 1000 + 100).astype(np.uint16)
    stored[:, :8] = 4095
    stored[0, 8], stored[-1, -1] = 100, 1100
    expected = (stored - 100.0) / 1000 * 255
    expected[:, :8] = 0
    assert_close(write_dicom(tmp_path / "a.dcm", stored, PixelPaddingValue=4095), expected)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colour_dicom_gives_luma(tmp_path, write_dicom, photometric):
    colour = np.stack([RAMP] * 3, axis=2)
    if photometric == "YBR_FULL":
        colour[..., 1:] = 128
    tags = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": photometric}
    assert_close(write_dicom(tmp_path / "a.dcm", colour, **tags), RAMP)


def test_jpeg_baseline_dicom(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    dataset = pydicom.dcmread(path)
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, "JPEG", quality=98)
    dataset.PixelData = encapsulate([buffer.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    dataset.save_as(path)
    assert_close(path, RAMP, levels=4)


@pytest.mark.parametrize(
    ("syntax", "name", "rewritten_by"),
    [
        ("1.2.840.10008.1.2.4.51", "JPEG Extended (Process 2 and 4) with 12 bits", "dcmdjpeg"),
        ("1.2.840.10008.1.2.4.57", "JPEG Lossless", "dcmdjpeg"),
        ("1.2.840.10008.1.2.4.70", "JPEG Lossless", "dcmdjpeg"),
        ("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", "dcmdjpls"),
        ("1.2.840.10008.1.2.4.81", "JPEG-LS Lossy", "dcmdjpls"),
        ("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000", None),
        ("1.2.840.10008.1.2.4.103", "MPEG-4", None),
        ("1.2.3", "unknown", None),
    ],
)
def test_compressed_dicom_without_a_decoder_is_refused_with_what_rewrites_it(
    tmp_path, write_dicom, syntax, name, rewritten_by
):
    if importlib.util.find_spec("pylibjpeg") or importlib.util.find_spec("gdcm"):
        pytest.skip("a decoder beyond Pillow is installed")
    path = write_dicom(tmp_path / "a.dcm", RAMP.astype(np.uint16) * 16, BitsStored=12, HighBit=11)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([b"\xff\xd8" + bytes(100)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)
    with pytest.raises(UnreadableImage) as caught:
        read_grey(path)
    assert caught.value.problem.startswith(f"compressed as {name}")
    assert caught.value.problem.endswith("which cannot be decoded here")
    if rewritten_by:
        said = f"Rewrite it with `{rewritten_by}`, or `pip install pylibjpeg pylibjpeg-libjpeg` (GPL)"
        assert caught.value.remedy.startswith(said)
    else:
        assert caught.value.remedy == "Save it uncompressed (Explicit VR Little Endian)."


def test_an_intact_jpeg_of_twelve_bits_is_not_called_damaged():
    if importlib.util.find_spec("pylibjpeg"):
        pytest.skip("pylibjpeg decodes it")
    path = pydicom.data.get_testdata_file("JPGExtended.dcm", download=False)
    with pytest.raises(UnreadableImage, match="with 12 bits, which cannot be decoded here"):
        read_grey(path)


def test_percentiles_cut_off_marks_and_spread_the_rest(tmp_path, write_dicom):
    """A burned-in mark and a dead detector line, two per cent of the pixels together, take no grey levels away."""
    low, high = 40, 140
    levels = np.rint(FULL / 255 * (high - low) + low).astype(np.uint8)
    marked = np.pad(levels, ((0, 1), (0, 0)), constant_values=255)  # a row of 49
    Image.fromarray(marked).save(tmp_path / "a.png")
    pixels = read_grey(tmp_path / "a.png", percentiles=(0, 97)).pixels
    assert (pixels[-1] == 255).all() and np.abs(pixels[:-1] - FULL).max() <= 5
    deep = write_dicom(tmp_path / "a.dcm", marked.astype(np.uint16) * 16)
    assert np.abs(read_grey(deep, percentiles=(0, 97)).pixels.astype(int) - pixels).max() <= 1
    inverted = {"PhotometricInterpretation": "MONOCHROME1"}
    path = write_dicom(tmp_path / "b.dcm", 4095 - marked.astype(np.uint16) * 16, **inverted)
    assert np.abs(read_grey(path, percentiles=(0, 97)).pixels.astype(int) - pixels).max() <= 1


def test_percentiles_of_an_inverted_image_are_those_from_dark_to_bright(tmp_path, write_dicom):
    levels = np.minimum(FULL.astype(np.uint16) ** 2 // 64, 999)  # dark and bright are not each other's mirror image
    upright = write_dicom(tmp_path / "a.dcm", levels)
    inverted = write_dicom(tmp_path / "b.dcm", 999 - levels, PhotometricInterpretation="MONOCHROME1")
    assert_close(inverted, read_grey(upright).pixels)
    expected = read_grey(upright, percentiles=(20, 70)).pixels
    assert np.abs(read_grey(inverted, percentiles=(20, 70)).pixels.astype(int) - expected).max() <= 1


def test_levels_beyond_the_precision_of_float32_stay_apart():
    levels = np.arange(256, dtype=np.int32).reshape(16, 16)
    np.testing.assert_array_equal(spread(levels + 2**30), levels)


@pytest.mark.parametrize("percentiles", [(0, 200), (0, 100.5), (1,), (99, 1), 5, ("low", "high"), (float("nan"), 99)])
def test_percentiles_that_make_no_sense_are_not_blamed_on_the_file(tmp_path, percentiles):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    for name in ("a.png", "not there.png"):
        with pytest.raises(DataError, match=r"^percentiles .*: not two rising numbers in 0..100. For example"):
            read_grey(tmp_path / name, percentiles)


def test_percentiles_leave_an_image_of_one_level_with_a_mark_readable(tmp_path):
    pixels = np.zeros((20, 20), np.uint8)
    pixels[0, 0] = 100
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_grey(tmp_path / "a.png", percentiles=(1, 99)).pixels[0, 0] == 255


def test_header_facts_without_the_patient_id(tmp_path, write_dicom):
    tags = {"ViewPosition": "AP", "PatientAge": "064Y", "PatientSex": "F", "PatientID": "CANARY"}
    grey = read_grey(write_dicom(tmp_path / "a.dcm", RAMP, **tags))
    assert (grey.view, grey.age_years, grey.sex) == ("AP", 64.0, "F")
    assert grey.patient_digest == read_grey(write_dicom(tmp_path / "b.dcm", RAMP, **tags)).patient_digest
    assert "CANARY" not in repr(grey)


# What is refused


def truncated(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.98])
@pytest.mark.parametrize("kind", ["png", "jpg", "dcm", "jpeg-dcm"])
def test_truncated_files_are_refused_and_never_filled(tmp_path, write_dicom, kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)
    path = tmp_path / f"a.{kind[-3:]}"
    if kind == "dcm":
        write_dicom(path, noise)
    elif kind == "jpeg-dcm":
        test_jpeg_baseline_dicom(tmp_path, write_dicom)
    else:
        Image.fromarray(noise).save(path)
    with pytest.raises(UnreadableImage) as caught:
        read_grey(truncated(path, share))
    assert str(path) in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize(
    ("content", "said", "remedy"),
    [
        (b"", "the file is empty", "Download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 5\n", "Git LFS pointer", "git lfs pull"),
        (b"<html>404 Not Found</html>", "begins with '<html>404…' and is no image", "Put the image itself there"),
        (b"hello, this is no image\n", "begins with 'hello, th…' and is no image", "Put the image itself there"),
        (b"PK\x03\x04" + bytes(60), "truncated or damaged", "Download"),
    ],
    ids=["empty", "lfs", "html", "text", "zip"],
)
@pytest.mark.parametrize("suffix", ["png", "jpg", "dcm"])
def test_files_that_are_no_images(tmp_path, suffix, content, said, remedy):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=f"{path}.*") as caught:
        read_grey(path)
    # A text that is taken for DICOM parses as an empty data set: no pixel data.
    assert said in caught.value.problem or (suffix == "dcm" and "pixel data" in caught.value.problem)
    assert remedy in caught.value.remedy or suffix == "dcm"


def test_missing_file(tmp_path):
    with pytest.raises(UnreadableImage, match="no.png: cannot be opened"):
        read_grey(tmp_path / "no.png")


def test_bombs_are_refused_by_their_header(tmp_path, write_dicom):
    for side, said in ((9000, "9000 x 9000 pixels, over the limit"), (20000, "too large")):
        Image.new("1", (side, side)).save(tmp_path / "bomb.png")
        with pytest.raises(UnreadableImage, match=said):
            read_grey(tmp_path / "bomb.png")
    path = write_dicom(tmp_path / "bomb.dcm", RAMP)
    dataset = pydicom.dcmread(path)
    dataset.Rows = dataset.Columns = 65535
    dataset.save_as(path)
    with pytest.raises(UnreadableImage, match="65535 x 65535 pixels, over the limit"):
        read_grey(path)


def test_deflated_dicom_is_refused_before_it_is_unpacked(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", np.zeros((64, 64), np.uint8))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    with pytest.raises(UnreadableImage, match="deflated DICOM. Rewrite"):
        read_grey(path)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"PixelData": None}, "DICOM without pixel data"),
        ({"NumberOfFrames": 2, "Rows": 24}, "holds 2 frames"),
        ({"Rows": 0}, "64 x 0 pixels"),
        ({"Rows": None}, "lacks Rows"),
        ({"PhotometricInterpretation": "HSV"}, "photometric interpretation 'HSV'"),
        ({"BitsAllocated": 13}, "truncated or damaged"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_dicom_that_is_refused(tmp_path, write_dicom, tags, said):
    path = write_dicom(tmp_path / "a.dcm", RAMP, **tags)
    with pytest.raises(UnreadableImage) as caught:
        read_grey(path)
    assert said in caught.value.problem


def test_frames_that_the_header_does_not_count_are_refused(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", np.vstack([RAMP, RAMP]), Rows=len(RAMP))
    with pytest.raises(UnreadableImage, match="its pixels hold 2 frames"):
        read_grey(path)


def test_several_frames_in_a_picture_are_refused(tmp_path):
    frames = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableImage, match="holds 2 frames"):
        read_grey(tmp_path / "a.png")
