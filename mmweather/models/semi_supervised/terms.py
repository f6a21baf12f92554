"""What a semi-supervised restorer minimises: one small class a term.

A term sees the restored images of one stream and the step that they belong to. To add one, derive from
:class:`LossTerm`, name its stream, compute a scalar, register the class in ``MODELS``, and name it in the config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.errors import ConfigError, DataError
from mmweather.registry import MODELS

from ..losses.image import gram, logistic_loss
from ..ops.batch_groups import statistics_per_group

STREAMS = ('labelled', 'unlabelled', 'noisy', 'views')
PERCEPTUAL_LAYERS = ('relu1_1', 'relu2_1', 'relu3_1', 'relu4_1', 'relu5_1')
STYLE_LAYERS = ('relu2_2', 'relu3_4', 'relu4_4', 'relu5_2')


class Step:
    """One training iteration: its images, its networks, and what has been computed so far.

    Args:
        images: the batch by name, (B, C, H, W), or (B, K, C, H, W) for K views of each image, in the networks' range.
        networks: the helper networks by name.
        iteration: from 0.
        epoch: from 0.
    """

    def __init__(self, images: Mapping[str, Tensor], networks: Mapping[str, nn.Module], iteration: int = 0,
                 epoch: int = 0) -> None:
        self.images = images
        self.networks = networks
        self.iteration = iteration
        self.epoch = epoch
        self.anchor: Tensor | None = None
        """The restored unlabelled images, set before the streams 'unlabelled' and 'noisy' are."""
        self._features: dict[tuple[str, int], tuple[Tensor, dict[str, Tensor]]] = {}

    def image(self, name: str) -> Tensor:
        """The images ``name``.

        Raises:
            DataError: the batch has none.
        """
        if name not in self.images:
            raise DataError(f"training needs '{name}', and the batch has {sorted(self.images)}: load it and name it in "
                            "the keys of PackImages, or leave out the term that asks for it")
        return self.images[name]

    def copies(self, name: str) -> int:
        """How many views of each image there are under ``name``."""
        image = self.image(name)
        return image.shape[1] if image.ndim == 5 else 1

    def part(self, name: str, first: int, last: int) -> tuple[Tensor, int]:
        """Views ``first`` to ``last`` (excluded), one view of all images after the other.

        Returns:
            (n * B, C, H, W) and n, the number of views; images without views are given as they are, with n = 1.
        """
        image = self.image(name)
        if image.ndim == 4:
            return image, 1
        views = image[:, first:last].transpose(0, 1)
        return views.flatten(0, 1), len(views)

    def run(self, name: str, x: Tensor, groups: int = 1) -> Tensor:
        """Helper network ``name`` on a batch of ``groups`` views; batch norms see one view at a time."""
        with statistics_per_group(self.network(name), groups):
            return self.network(name)(x)

    def network(self, name: str) -> nn.Module:
        """Helper network ``name``.

        Raises:
            ConfigError: there is none.
        """
        if name not in self.networks:
            raise ConfigError(f"a term or objective names the network '{name}', and the model has "
                              f"{sorted(self.networks)}: add it to model.networks")
        return self.networks[name]

    def features(self, name: str, x: Tensor) -> dict[str, Tensor]:
        """Features of ``x`` by the helper network ``name``, computed once for all terms that ask."""
        key = name, id(x)
        if key not in self._features:
            with torch.set_grad_enabled(x.requires_grad):
                self._features[key] = x, self.network(name)(x)
        return self._features[key][1]

    def forget(self) -> None:
        """Let the features go."""
        self._features.clear()


class Scheduled(nn.Module):
    """A factor and a start.

    Args:
        weight: factor; 0 leaves the term out.
        begin: first iteration, or epoch, that has the term.
        by_epoch: count ``begin`` in epochs.
    """

    def __init__(self, weight: float = 1.0, begin: int = 0, by_epoch: bool = False) -> None:
        super().__init__()
        self.weight = weight
        self.begin = begin
        self.by_epoch = by_epoch

    def active(self, step: Step) -> bool:
        """Whether the term counts in this step."""
        return self.weight != 0 and (step.epoch if self.by_epoch else step.iteration) >= self.begin


class LossTerm(Scheduled):
    """Base of the terms of a restorer's loss.

    ``stream`` says which restored images a term gets: ``'labelled'`` (of the image ``img``), ``'unlabelled'`` (of
    ``unlabelled``), ``'noisy'`` (of ``unlabelled`` with noise, one copy or several), ``'views'`` (of
    ``unlabelled_views``, one view or several). A term on several copies takes their mean.
    """

    stream = 'labelled'

    def forward(self, restored: Tensor, step: Step, groups: int = 1) -> Tensor:
        """The unweighted term.

        Args:
            restored: (groups * B, C, H, W) in the networks' range, one copy of all images after the other.
            step: where everything else is found.
            groups: number of copies; 1 in the streams that have one.

        Returns:
            A scalar.
        """
        raise NotImplementedError


@MODELS.register_module()
class ReconstructionTerm(LossTerm):
    """Distance of the restored labelled images to their targets.

    Args:
        loss: config of a loss of prediction and target; the mean absolute error by default.
        target: name of the targets in the batch.
        kwargs: of :class:`Scheduled`.
    """

    def __init__(self, loss: dict | None = None, target: str = 'gt', **kwargs: float) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.loss = MODELS.build(loss) if loss else nn.L1Loss()
        self.target = target

    def forward(self, restored: Tensor, step: Step, groups: int = 1) -> Tensor:
        """As the base class."""
        return self.loss(restored, step.image(self.target))


class _FeatureTerm(LossTerm):
    """Base of the terms on the features of a frozen network; each image passes it once for all of them.

    Args:
        network: name of the network among the restorer's; it maps an image to ``{layer: features}``.
        layers: which are compared.
        target: name of the targets in the batch.
        kwargs: of :class:`Scheduled`.
    """

    LAYERS: tuple[str, ...] = ()

    def __init__(self, network: str = 'vgg', layers: Sequence[str] = (), target: str = 'gt', **kwargs: float) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.network = network
        self.layers = tuple(layers) or self.LAYERS
        self.target = target

    def compare(self, found: Tensor, wanted: Tensor) -> Tensor:
        """The distance of one layer."""
        raise NotImplementedError

    def forward(self, restored: Tensor, step: Step, groups: int = 1) -> Tensor:
        """As the base class."""
        found, wanted = (step.features(self.network, x) for x in (restored, step.image(self.target)))
        return torch.stack([self.compare(found[name], wanted[name]) for name in self.layers]).sum()


@MODELS.register_module()
class PerceptualTerm(_FeatureTerm):
    """Sum over layers of the mean absolute difference of features (Johnson et al., ECCV 2016)."""

    LAYERS = PERCEPTUAL_LAYERS

    def compare(self, found: Tensor, wanted: Tensor) -> Tensor:
        """As the base class."""
        return F.l1_loss(found, wanted)


@MODELS.register_module()
class StyleTerm(_FeatureTerm):
    """Sum over layers of the mean absolute difference of Gram matrices (Gatys et al., CVPR 2016)."""

    LAYERS = STYLE_LAYERS

    def compare(self, found: Tensor, wanted: Tensor) -> Tensor:
        """As the base class."""
        return F.l1_loss(gram(found), gram(wanted))


@MODELS.register_module()
class PseudoLabelTerm(LossTerm):
    """Mean absolute distance of the restored unlabelled images to labels that a classical method made.

    Args:
        target: name of the labels in the batch.
        kwargs: of :class:`Scheduled`.
    """

    stream = 'unlabelled'

    def __init__(self, target: str = 'pseudo_label', **kwargs: float) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.target = target

    def forward(self, restored: Tensor, step: Step, groups: int = 1) -> Tensor:
        """As the base class."""
        return F.l1_loss(restored, step.image(self.target))


@MODELS.register_module()
class ConsistencyTerm(LossTerm):
    """Mean absolute distance between what becomes of an unlabelled image with noise and without.

    Args:
        stop_gradient: take the image without noise as given, else the gradient goes through both, as published.
        kwargs: of :class:`Scheduled`.
    """

    stream = 'noisy'

    def __init__(self, stop_gradient: bool = False, **kwargs: float) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.stop_gradient = stop_gradient

    def forward(self, restored: Tensor, step: Step, groups: int = 1) -> Tensor:
        """As the base class."""
        assert step.anchor is not None
        anchor = step.anchor.detach() if self.stop_gradient else step.anchor
        copies = restored.unflatten(0, (groups, -1))
        return F.l1_loss(copies, anchor.expand_as(copies))


@MODELS.register_module()
class AdversarialTerm(LossTerm):
    """How far a critic is from taking restored unlabelled images for clean ones (logistic loss).

    Args:
        network: name of the critic among the restorer's networks; it maps images to logits of "clean".
        kwargs: of :class:`Scheduled`.
    """

    stream = 'views'

    def __init__(self, network: str = 'critic', **kwargs: float) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.network = network

    def forward(self, restored: Tensor, step: Step, groups: int = 1) -> Tensor:
        """As the base class."""
        return logistic_loss(step.run(self.network, self.look(restored), groups), True)

    def look(self, img: Tensor) -> Tensor:
        """What the critic is shown of images."""
        return img


@MODELS.register_module()
class CriticObjective(Scheduled):
    """What a critic learns: to tell clean images from others (logistic loss, half for each).

    Args:
        clean: name of the clean images in the batch.
        other: name of the others, or ``'restored'`` for the restored ``unlabelled_views``.
        kwargs: of :class:`Scheduled`.
    """

    RESTORED = 'restored'

    def __init__(self, clean: str = 'gt_views', other: str = RESTORED, **kwargs: float) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.clean = clean
        self.other = other

    def look(self, img: Tensor) -> Tensor:
        """What the critic is shown of images."""
        return img
