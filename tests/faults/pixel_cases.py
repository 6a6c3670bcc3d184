"""Image files that are unusual but right: name -> (file name, content, reference grey levels).

References are computed here from the arrays that the files were made of, by the formulas of the PNG, TIFF and DICOM
standards (DICOM PS3.3 C.7.6.3, C.11.1, C.11.2), not by the reader.
"""

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from .files import dicom, picture, rle_segments

Case = tuple[str, bytes, np.ndarray]

RAMP = np.add.outer(np.arange(24) * 5, np.arange(32) * 4).astype(np.uint8)  # no symmetry: a turn would show
FULL = np.linspace(0, 255, 24 * 32).reshape(24, 32)  # grey levels 0 … 255, for what is spread over its own range
DEEP = np.rint(FULL / 255 * 65535).astype(np.uint16)
TWELVE = np.rint(FULL / 255 * 4095).astype(np.uint16)
COLOUR = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)
PLANES = np.moveaxis(COLOUR, 2, 0)
LUMA = COLOUR @ [0.299, 0.587, 0.114]
CHESS = np.indices((24, 32)).sum(axis=0) % 2 == 1
TURNED = {  # EXIF orientation -> how the upright picture is stored
    1: RAMP, 2: RAMP[:, ::-1], 3: RAMP[::-1, ::-1], 4: RAMP[::-1], 5: RAMP.T, 6: RAMP.T[::-1], 7: RAMP.T[::-1, ::-1],
    8: RAMP.T[:, ::-1],
}  # fmt: skip


def _with_alpha(alpha: int) -> np.ndarray:
    return np.dstack([RAMP, RAMP, RAMP, np.full_like(RAMP, alpha)])


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _palette(indices: np.ndarray = RAMP, **options: object) -> bytes:
    image = Image.fromarray(indices, "P")
    image.putpalette([level for index in range(256) for level in [255 - index] * 3])
    return picture(image, **options)


def _lut(name: str, values: list[int] | bytes, bits: int, first: int = 0) -> dict[str, list[pydicom.Dataset]]:
    """Values as numbers, or as bytes two to each."""
    words = isinstance(values, bytes)
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "US", [len(values) // 2 if words else len(values), first, bits])
    table.add_new("LUTData", "OW" if words else "US", values)
    if name == "ModalityLUTSequence":
        table.ModalityLUTType = "US"
    return {name: [table]}


def _bare(file: bytes) -> bytes:
    return file[file.index(b"\x08\x00\x16\x00") :]  # from the data set's first tag, SOPClassUID


def _colour_table(levels: list[int]) -> dict[str, object]:
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = np.array(levels, "<u2").tobytes()
    return tags


def _pictures() -> dict[str, Case]:
    files = {
        "PNG 8 bit": (picture(RAMP), RAMP),
        "PNG 1 bit": (picture(CHESS), CHESS * 255),
        "PNG palette": (_palette(), 255 - RAMP),
        "PNG palette, 4 bit": (_palette(RAMP // 16, bits=4), 255 - RAMP // 16),
        "PNG colour": (picture(COLOUR), LUMA),
        "PNG opaque alpha": (picture(_with_alpha(255)), RAMP),
        "PNG half transparent": (picture(_with_alpha(128)), RAMP * (128 / 255)),
        "PNG transparent": (picture(_with_alpha(0)), RAMP * 0),
        "PNG grey with alpha": (picture(Image.fromarray(_with_alpha(255)).convert("LA")), RAMP),
        "PNG transparent level": (picture(RAMP, transparency=40), np.where(RAMP == 40, 0, RAMP)),
        "PNG transparent palette entry": (_palette(transparency=40), np.where(RAMP == 40, 0, 255 - RAMP)),
        "PNG 16 bit": (picture(DEEP), FULL),
        "PNG 12 bit in 16": (picture(TWELVE), FULL),
        "PNG 16 bit, dark": (picture((TWELVE // 4).astype(np.uint16)), TWELVE // 4 / 1023 * 255),
        "PNG 16 bit, constant": (picture(DEEP * 0 + 700), RAMP * 0),
        "PNG with black rows at the end": (
            picture(RAMP * (np.arange(24) < 20)[:, None]),
            RAMP * (np.arange(24) < 20)[:, None],
        ),
        "PNG all black": (picture(COLOUR * 0), RAMP * 0),
        "PNG of one pixel": (picture(RAMP[2:3, 3:4]), RAMP[2:3, 3:4]),
        "BMP": (picture(RAMP, "BMP"), RAMP),
        "GIF": (picture(RAMP, "GIF"), RAMP),
        "WebP lossless": (picture(COLOUR, "WEBP", lossless=True), LUMA),
        "JPEG 2000": (picture(RAMP, "JPEG2000"), RAMP),
        "JPEG 2000, 16 bit": (picture(DEEP, "JPEG2000"), FULL),
        "TIFF 8 bit": (picture(RAMP, "TIFF"), RAMP),
        "TIFF white is zero": (picture(RAMP, "TIFF", tiffinfo={262: 0}), RAMP),  # Pillow inverts 8 bits on writing
        "TIFF 16 bit": (picture(DEEP, "TIFF"), FULL),
        "TIFF 16 bit, white is zero": (picture(DEEP, "TIFF", tiffinfo={262: 0}), 255 - FULL),
        "TIFF 32 bit": (picture(TWELVE.astype(np.int32), "TIFF"), FULL),
        "TIFF float": (picture(FULL.astype(np.float32) / 255, "TIFF"), FULL),
        "TIFF LZW": (picture(COLOUR, "TIFF", compression="tiff_lzw"), LUMA),
        "JPEG": (picture(RAMP, "JPEG", quality=100), RAMP),
        "JPEG progressive": (picture(RAMP, "JPEG", quality=100, progressive=True), RAMP),
        "JPEG colour": (picture(np.dstack([RAMP] * 3), "JPEG", quality=100, subsampling=0), RAMP),
        "JPEG CMYK": (picture(Image.fromarray(np.dstack([RAMP] * 3)).convert("CMYK"), "JPEG", quality=100), RAMP),
    }
    for orientation, stored in TURNED.items():
        files[f"PNG orientation {orientation}"] = picture(stored, exif=_exif(orientation)), RAMP
    for orientation in (3, 6, 8):
        content = picture(TURNED[orientation], "JPEG", quality=100, exif=_exif(orientation))
        files[f"JPEG orientation {orientation}"] = content, RAMP
    return {name: ("image.png", *case) for name, case in files.items()}


def _dicoms() -> dict[str, Case]:
    signed = (TWELVE.astype(np.int16) - 2048).astype(np.int16)
    packed = (signed.view(np.uint16) & 0x0FFF).view(np.int16)  # the sign is bit 11
    linear = {"WindowCenter": 2000.5, "WindowWidth": 1001}  # 1500 … 2500
    window = np.clip((TWELVE - 1500.0) / 1000, 0, 1) * 255
    exact = {"WindowCenter": 2000, "WindowWidth": 1000}
    bytes_of = [(DEEP >> 8).astype(np.uint8).tobytes(), (DEEP & 255).astype(np.uint8).tobytes()]
    padded = np.where(np.arange(32) < 4, 4095, np.rint(FULL / 255 * 1000 + 100)).astype(np.uint16)
    inside = padded[padded < 4095]
    spread = np.where(padded == 4095, 0, (padded - inside.min()) / (inside.max() - inside.min()) * 255)
    range_padded = np.where(np.arange(32) < 2, 4000, padded).astype(np.uint16)
    ybr = np.dstack([RAMP, np.full_like(RAMP, 128), np.full_like(RAMP, 128)])
    curve = [int(65535 * (level / 255) ** 2) for level in range(256)]
    dark = [value // 64 * 8 for value in curve]  # its low bytes alone reach higher than its high bytes
    files = {
        "DICOM 8 bit": (dicom(RAMP), RAMP),
        "DICOM 8 bit, odd number of pixels": (dicom(RAMP[:3, :5]), RAMP[:3, :5]),
        "DICOM MONOCHROME1": (dicom(RAMP, PhotometricInterpretation="MONOCHROME1"), 255 - RAMP),
        "DICOM MONOCHROME1, 12 bit": (dicom(TWELVE, PhotometricInterpretation="MONOCHROME1"), 255 - FULL),
        "DICOM MONOCHROME1, window": (dicom(TWELVE, PhotometricInterpretation="MONOCHROME1", **linear), 255 - window),
        "DICOM 10 bit": (dicom(np.rint(FULL / 255 * 1023).astype(np.uint16), BitsStored=10), FULL),
        "DICOM 12 bit": (dicom(TWELVE, BitsStored=12), FULL),
        "DICOM 16 bit": (dicom(DEEP), FULL),
        "DICOM 12 bit announced as 16": (dicom(TWELVE), FULL),
        "DICOM bits above those stored": (dicom(TWELVE | 0xF000, BitsStored=12), FULL),
        "DICOM bits stored at the upper end": (dicom(TWELVE << 4, BitsStored=12, HighBit=15), FULL),
        "DICOM 32 bit": (dicom(TWELVE.astype(np.uint32)), FULL),
        "DICOM 16 bit signed": (dicom(signed), FULL),
        "DICOM 12 bit signed": (dicom(packed, BitsStored=12), FULL),
        "DICOM 8 bit signed": (dicom((np.rint(FULL) - 128).astype(np.int8)), FULL),
        "DICOM 1 bit": (
            dicom(CHESS, BitsAllocated=1, BitsStored=1, data=np.packbits(CHESS, bitorder="little").tobytes()),
            CHESS * 255,
        ),
        "DICOM window": (dicom(TWELVE, BitsStored=12, **linear), window),
        "DICOM several windows": (dicom(TWELVE, WindowCenter=[2000.5, 9], WindowWidth=[1001, 5]), window),
        "DICOM several windows, the first unusable": (
            dicom(TWELVE, WindowCenter=[0, 2000.5], WindowWidth=[0, 1001]), window
        ),
        "DICOM window without width": (dicom(RAMP, WindowCenter=0, WindowWidth=0), RAMP),
        "DICOM window LINEAR_EXACT": (dicom(TWELVE, VOILUTFunction="LINEAR_EXACT", **exact), window),
        "DICOM window SIGMOID": (
            dicom(TWELVE, VOILUTFunction="SIGMOID", **exact), 255 / (1 + np.exp(-4 * (TWELVE - 2000.0) / 1000))
        ),
        "DICOM rescale": (
            dicom(TWELVE, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3000.5, WindowWidth=2001),
            np.clip((TWELVE * 2.0 - 1000 - 2000) / 2000, 0, 1) * 255,
        ),
        "DICOM rescale that changes nothing": (dicom(RAMP, RescaleSlope=1, RescaleIntercept=0), RAMP),
        "DICOM rescale that inverts": (dicom(TWELVE, RescaleSlope=-1, RescaleIntercept=4095), 255 - FULL),
        "DICOM modality table": (
            dicom(RAMP, **_lut("ModalityLUTSequence", [255 - level for level in range(256)], 8)),
            (255.0 - RAMP - (255 - RAMP.max())) / RAMP.max() * 255,
        ),
        "DICOM VOI table, 8 bit": (
            dicom(RAMP, **_lut("VOILUTSequence", [255 - level for level in range(256)], 8)), 255 - RAMP
        ),
        "DICOM VOI table, 16 bit": (
            dicom(RAMP, **_lut("VOILUTSequence", curve, 16)), np.array(curve)[RAMP] / 65535 * 255
        ),
        "DICOM VOI table, big endian": (
            dicom(RAMP, ExplicitVRBigEndian, **_lut("VOILUTSequence", np.array(dark, ">u2").tobytes(), 16)),
            np.array(dark)[RAMP] / max(dark) * 255,
        ),
        "DICOM padding": (dicom(padded, PixelPaddingValue=4095), spread),
        "DICOM range of padding": (dicom(range_padded, PixelPaddingValue=4000, PixelPaddingRangeLimit=4095), spread),
        "DICOM colour": (dicom(COLOUR), LUMA),
        "DICOM planes of colour": (dicom(COLOUR, PlanarConfiguration=1, data=PLANES.tobytes()), LUMA),
        "DICOM YBR": (dicom(ybr, PhotometricInterpretation="YBR_FULL"), RAMP),
        "DICOM palette": (
            dicom(RAMP, **_colour_table([257 * (255 - level) for level in range(256)])), 255 - RAMP * (255 / RAMP.max())
        ),
        "DICOM implicit VR": (dicom(TWELVE, ImplicitVRLittleEndian, BitsStored=12), FULL),
        "DICOM big endian": (dicom(TWELVE.astype(">u2"), ExplicitVRBigEndian, BitsStored=12), FULL),
        "DICOM without preamble": (dicom(RAMP, preamble=False), RAMP),
        "DICOM without file meta information": (_bare(dicom(RAMP, ImplicitVRLittleEndian)), RAMP),
        "DICOM of one frame": (dicom(RAMP, NumberOfFrames=1), RAMP),
        "DICOM JPEG": (dicom(RAMP, JPEGBaseline8Bit, picture(RAMP, "JPEG", quality=100)), RAMP),
        "DICOM JPEG 2000": (dicom(RAMP, JPEG2000Lossless, picture(RAMP, "JPEG2000", no_jp2=True)), RAMP),
        "DICOM JPEG 2000, 16 bit": (dicom(DEEP, JPEG2000Lossless, picture(DEEP, "JPEG2000", no_jp2=True)), FULL),
        "DICOM RLE": (dicom(RAMP, RLELossless, rle_segments([RAMP.tobytes()])), RAMP),
        "DICOM RLE, 16 bit": (dicom(DEEP, RLELossless, rle_segments(bytes_of)), FULL),
    }  # fmt: skip
    return {name: ("image.dcm", *case) for name, case in files.items()}


CASES = _pictures() | _dicoms()
