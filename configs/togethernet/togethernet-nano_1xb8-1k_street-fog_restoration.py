# Second step: the restoration alone, on the detector as it is.
#   --cfg-options load_from=BLENDED.pth
_base_ = './togethernet-nano_1xb8-1k_street-fog.py'

model = dict(start_from=None, start_classes=None, distil=None, restoration_only=True)
# Noise is not to be undone, and every photo is to get the exposure that it had.
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(_delete_=True, norm_decay_mult=0., bias_decay_mult=0.))
find_unused_parameters = True
