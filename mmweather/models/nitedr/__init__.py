"""NiteDR: nighttime de-raining (CleanNet), then visible + infrared fusion."""
