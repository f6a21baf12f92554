# Both small stages, for testing (the demo).
_base_ = './nitedr_joint_roadscene-rain.py'

data_root = 'data/mini/roadscene_rain'
model = dict(cleaner=dict(dim=16, num_blocks=(1, 1, 1, 1)), fusion=dict(growth=16))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))
log_level = 'WARNING'
