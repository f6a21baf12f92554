# All terms of SSDIE-Net with the published weights; the classifier of dark channels stays as it was trained.
_base_ = './ssdie_net_supervised.py'

model = dict(
    networks=dict(
        critic=dict(type='mmweather.SandDustDiscriminator', in_channels=3),
        dark=dict(type='mmweather.SandDustDiscriminator', in_channels=1)),
    objectives=dict(critic=dict(type='mmweather.CriticObjective', clean='gt_views', other='restored')),
    terms=dict(
        consistency=dict(type='mmweather.ConsistencyTerm', weight=1),
        adversarial=dict(type='mmweather.AdversarialTerm', weight=1),
        dark_channel=dict(type='mmweather.DarkChannelTerm', weight=1, block=16),
        pseudo_label=dict(type='mmweather.PseudoLabelTerm', weight=0.1)),
    noise_copies=5,
    noise_std=0.1)
