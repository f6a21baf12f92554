# Both stages with the reduced CleanNet, for testing.
_base_ = './nitedr_joint_roadscene-rain.py'

model = dict(cleaner=dict(dim=24, num_blocks=(1, 1, 1, 1)))
