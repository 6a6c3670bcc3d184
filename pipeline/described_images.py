"""Images of the built book carry the words that each figure was described with (`medslip_core.figures.Described`).

myst-nb takes alternative text from a cell's metadata alone, the same for all of its images and whatever they show.
"""

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer


class DescribedImages(NbElementRenderer):
    """myst-nb's renderer of outputs; `nb_render_plugin` in `_config.yml` names it."""

    def render_image(self, data: MimeData) -> list[nodes.Element]:
        images = super().render_image(data)
        for image in images:
            image["alt"] = data.output_metadata.get(data.mime_type, {}).get("alt", image.get("alt", ""))
        return images
