"""Run a file of `mmweather export` with NumPy, Pillow and onnxruntime alone.

python run_onnx.py MODEL.onnx RESULT.png PICTURE [INFRARED_OR_THERMAL]
"""
import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw

model, result, *files = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
facts = json.loads(session.get_modelmeta().custom_metadata_map['mmweather'])
picture = Image.open(files[0]).convert('RGB')
height, width, step = picture.height, picture.width, facts['multiple_of']
pad = [(0, -(-max(side, facts['minimum']) // step) * step - side) for side in (height, width)]
feeds = {}
for (name, channels), file in zip(facts['inputs'].items(), files, strict=True):
    image = np.asarray(Image.open(file) if channels == 1 else Image.open(file).convert('RGB'), np.float32)
    image = image.reshape(height, width, channels) / (1 if name == 'thermal' else 255)
    feeds[name] = np.pad(image, (*pad, (0, 0)), mode='symmetric').transpose(2, 0, 1)[None]
first, *more = session.run(None, feeds)
if facts['task'] == 'restore':
    picture = Image.fromarray((first[0, :, :height, :width].transpose(1, 2, 0) * 255).round().astype(np.uint8))
elif facts['task'] == 'segment':
    picture = Image.fromarray(first[0, :, :height, :width].argmax(0).astype(np.uint8))
else:  # keep what is certain, then drop what overlaps something more certain
    boxes, scores, labels = first[0], more[0][0].max(1), more[0][0].argmax(1)
    order = [i for i in np.argsort(-scores) if scores[i] > 0.3]
    while order:
        best, *order = order
        ImageDraw.Draw(picture).rectangle(boxes[best].tolist(), outline='red', width=2)
        name = facts['classes'][labels[best]] if facts['classes'] else labels[best]
        print(name, round(float(scores[best]), 3), boxes[best].round().astype(int).tolist())
        size = np.minimum(boxes[best, 2:], boxes[order, 2:]) - np.maximum(boxes[best, :2], boxes[order, :2])
        inner, areas = size.clip(0).prod(-1), (boxes[:, 2:] - boxes[:, :2]).prod(-1)
        order = [i for i, common in zip(order, inner, strict=True) if common < 0.65 * (areas[best] + areas[i] - common)]
picture.save(result)
