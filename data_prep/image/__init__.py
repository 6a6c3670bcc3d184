"""Any image file to 8-bit grey levels, air dark and bone bright: the one path for every dataset.

1. The file is recognised by its content. Empty files, Git LFS pointers, files above MAX_BYTES, and images whose header
   announces more than MAX_PIXELS are refused before decoding; a truncated one is refused, never filled up.
2. DICOM: bits outside BitsStored are dropped (with sign), the modality LUT or rescale is applied, then the first VOI
   LUT or usable window; MONOCHROME1 is inverted; pixel padding becomes black. Several frames are refused.
3. PNG, JPEG and the like: 1-bit becomes 0 and 255, palette and colour become luma, transparency is laid on black, the
   EXIF orientation is applied.
4. 8-bit levels that neither the modality nor a window changes stay as they are. Others without a window are spread
   over 0..255 from the image's own minimum to its maximum, because the nominal depth often isn't the one used (12-bit
   data stored as 16-bit).
5. Only if asked for: what lies between two percentiles of the levels, padding left out, is spread over 0..255 and the
   rest is cut off; after a window, and in place of step 4.

Source: DICOM PS3.3 C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT).
"""

from data_prep.image.dicom_header import DicomHeader, read_header
from data_prep.image.levels import GreyImage
from data_prep.image.read import is_dicom, read_grey

__all__ = ["DicomHeader", "GreyImage", "is_dicom", "read_grey", "read_header"]
