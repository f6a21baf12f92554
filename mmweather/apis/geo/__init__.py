"""Parts of :mod:`mmweather.apis.geotiff`: scenes, values, blending, the journal and the files written."""
