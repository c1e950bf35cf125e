"""From a trained model to a SavedModel that needs nothing of this project, and a local server.

`seqkeras.serving.server` holds the server; it needs the optional dependencies `seqkeras[serve]`.
"""

from seqkeras.serving.card import ModelCard
from seqkeras.serving.export import export_saved_model
from seqkeras.serving.translators import export_translator
from seqkeras.serving.verify import ExportError, verify_export
from seqkeras.serving.versions import load_functions

__all__ = [
    "ExportError",
    "ModelCard",
    "export_saved_model",
    "export_translator",
    "load_functions",
    "verify_export",
]
