"""Batches that mix domains, such as day and night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmweather.errors import ConfigError, DataError


def group_by_domain(samples: Sequence[Any], domains: Sequence[str], key: str = 'domain') -> dict[str, list[int]]:
    """Which samples of a batch belong to which domain.

    Args:
        samples: data samples whose metainfo holds ``key``.
        domains: names of the domains, in the order of the result.
        key: of the metainfo.

    Returns:
        Indices by domain; a domain without samples is there with an empty list.

    Raises:
        ConfigError: a sample does not say its domain.
        DataError: a sample names another domain.
    """
    groups: dict[str, list[int]] = {domain: [] for domain in domains}
    for index, sample in enumerate(samples):
        domain = sample.get(key)
        where = sample.get('img_path', f'number {index} of the batch')
        if domain is None:
            raise ConfigError(f"sample '{where}' does not say its '{key}': let the data set give it, and add it to "
                              'meta_keys of mmseg.PackSegInputs')
        if domain not in groups:
            raise DataError(f"sample '{where}' is of {key} '{domain}', which is not among {', '.join(groups)}")
        groups[domain].append(index)
    return groups


def take(inputs: Any, index: Sequence[int]) -> Any:
    """Some samples of a batch: a tensor, a list, or a dict of these."""
    if isinstance(inputs, Tensor):
        return inputs[list(index)]
    if isinstance(inputs, Mapping):
        return {name: take(value, index) for name, value in inputs.items()}
    return [inputs[i] for i in index]
