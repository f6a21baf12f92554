# Stage 2 in small, for the demo: half-width fusion on the cleaned mini set.
_base_ = './nitedr_fusion_1xb1-500e_roadscene-rain.py'

data_root = 'data/mini/roadscene_rain'
model = dict(fusion=dict(growth=16))

train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))

optim_wrapper = dict(fusion=dict(optimizer=dict(lr=1e-3)))
train_cfg = dict(max_epochs=20, val_interval=20)

# The terminal shows a progress bar in place of the log, which is in the work directory.
custom_hooks = [*_base_.custom_hooks, dict(type='mmweather.ProgressBarHook')]
log_level = 'WARNING'
