"""Operations on tensors that several rooms share: padding, tiling, filters, the inference contract."""
