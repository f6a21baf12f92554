"""Parts of :mod:`mmweather.apis.scenes.geotiff`: scenes, values, blending, the journal and the files written."""
