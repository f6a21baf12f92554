"""TogetherNet: object detection in fog, trained together with the restoration of the clear image."""
