_base_ = './togethernet_s_8xb8-300e_voc-fog.py'

model = dict(arch='x')
