# The defaults of the published flags where the README's recipe differs: six critics, from the logits down to the stems,
# long phases, confusion of both domains towards day, weight 0.1, no night supervision, 1 frame a GPU and domain.
_base_ = './heatnet_rgbt-late_4xb2-100k_freiburg.py'

model = dict(teacher=None)
train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=8)
custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(
        _base_.custom_hooks[-1],
        features=('decode_head.conv_seg', 'backbone[4]', 'backbone[3]', 'backbone[2]', 'backbone[1]', 'backbone[0]'),
        loss_weight=0.1,
        both_directions=False,
        initial_critic_iters=1000,
        seg_iters=50,
        critic_iters=500),
]
