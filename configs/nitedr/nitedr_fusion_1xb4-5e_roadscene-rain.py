# Stage 2, reduced for a CPU: 5 epochs of 4 patches a step, the published learning rates.
_base_ = './nitedr_fusion_1xb1-500e_roadscene-rain.py'

train_dataloader = dict(batch_size=4)
train_cfg = dict(max_epochs=5, val_interval=5)
default_hooks = dict(checkpoint=dict(interval=5))
