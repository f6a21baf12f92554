"""Physics of bad weather on arrays; no OpenMMLab import."""
