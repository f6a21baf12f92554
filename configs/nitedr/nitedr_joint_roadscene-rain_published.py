# Both stages with the published colour conversion: for published weights.
_base_ = './nitedr_joint_roadscene-rain.py'

model = dict(published_colour=True)
