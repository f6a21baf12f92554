# A network trained on Freiburg Thermal, tested on the MF set: its classes are translated to those of MF, and the four
# that it can name have a score.
_base_ = './heatnet_rgbt-late_4xb2-100k_mf.py'

model = dict(teacher=None)
