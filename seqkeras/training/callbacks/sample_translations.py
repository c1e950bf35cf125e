"""What the model says about a few fixed examples: text and pictures for TensorBoard."""

import html
import re

import tensorflow as tf

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|])")


def plain(text):
    """Returns markdown that TensorBoard's text page shows as exactly this text, on one line."""
    return html.escape(_MARKDOWN.sub(r"\\\1", " ".join(text.split())), quote=False)


class SampleTranslations:
    """Sources, references and today's translations in a table, with one image for each.

    Metrics say how much a model has learned; a few sentences seen again each epoch say what.

    Args:
        sources: List of str, the fixed examples.
        translate: Callable, list of str -> list of str.
        references: Optional list of str, the right answers.
        images: Optional callable, list of str -> list of uint8 arrays `(height, width, 3 or 4)`,
            such as `lambda texts: attention_images(translator.align(texts))`.

    Raises:
        ValueError: If there is no source, or not one reference for each.
    """

    def __init__(self, sources, translate, references=None, images=None):
        if not sources:
            raise ValueError("Expected at least one source to translate, got none.")
        if references is not None and len(references) != len(sources):
            raise ValueError(
                f"Expected one reference for each of the {len(sources)} sources, got "
                f"{len(references)}."
            )
        self.sources = list(sources)
        self.translate = translate
        self.references = None if references is None else list(references)
        self.images = images

    def write(self, step):
        """Writes to the default summary writer."""
        columns = {"source": self.sources}
        if self.references is not None:
            columns["reference"] = self.references
        columns["translation"] = self.translate(self.sources)
        rows = zip(*columns.values(), strict=True)
        # A matrix of strings is shown as a table; each cell is markdown of its own.
        table = [[f"**{name}**" for name in columns], *([plain(cell) for cell in r] for r in rows)]
        tf.summary.text("translations", table, step=step)
        if self.images is not None:
            for number, image in enumerate(self.images(self.sources)):
                tf.summary.image(f"attention/{number}", image[None], step=step)
