# The defaults of the published flags with their network (--arch custom): six critics, from the logits down to the
# stems, long phases, no night supervision. 2 frames a GPU and domain: the pyramid's pooled branch has batch norm over
# the images alone, so 1 frame cannot be trained on.
_base_ = './heatnet_rgbt-late-6critics_4xb1-100k_freiburg.py'

model = dict(
    backbone=dict(
        _delete_=True, type='mmweather.HeatNetResNeXtBackbone', in_channels=3, thermal_channels=1, num_classes=13),
    decode_head=dict(_delete_=True, type='mmweather.HeatNetLogitsHead', num_classes=13))
train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=16)
