"""The golden check: every array that the published code computed, computed by ours."""

from .compare import GoldenFolder, Row, check_folder
from .fill import fill_array, fill_input, fill_state_dict

__all__ = ['GoldenFolder', 'Row', 'check_folder', 'fill_array', 'fill_input', 'fill_state_dict']
