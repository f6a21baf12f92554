"""Deployment: a model's inference path as one graph, for ONNX and ``torch.export``."""

from .files import check_file, export_model
from .graphs import Graph, inference_graph

__all__ = ['Graph', 'check_file', 'export_model', 'inference_graph']
