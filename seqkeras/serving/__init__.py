"""From a trained translator to a SavedModel that needs nothing of this project, and a local server.

`seqkeras.serving.server` holds the server; it needs the optional dependencies `seqkeras[serve]`.
"""

from seqkeras.serving.card import ModelCard
from seqkeras.serving.export import export_saved_model
from seqkeras.serving.verify import ExportError, verify_export

__all__ = ["ExportError", "ModelCard", "export_saved_model", "verify_export"]
