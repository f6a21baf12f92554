"""ACA-CRNet: cloud removal with attentive contextual attention."""
