"""What :class:`mmweather.Inferencer` is made of: inputs, tasks, and the loop between them."""
