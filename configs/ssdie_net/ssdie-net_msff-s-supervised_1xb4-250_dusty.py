# Stage A goes on for as many iterations as stage C has: what the photos teach is the difference to stage C.
_base_ = './ssdie-net_msff-s-pretrain_1xb4-1200_dusty.py'

model = dict(pretrained=dict(generator='work_dirs/ssdie-net_msff-s-pretrain_1xb4-1200_dusty/iter_1200.pth'))

optim_wrapper = dict(generator=dict(optimizer=dict(lr=5e-4)))

train_cfg = dict(max_iters=250, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=250))
