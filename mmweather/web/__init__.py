"""The web page: pictures in, clear pictures, boxes or masks out.

``choices`` says which models are offered, ``engine`` runs them, ``page`` draws the page with Gradio, ``server`` serves
it.  ``door`` refuses foreign requests before Gradio sees them, ``visitors`` keeps the files of each visitor separately,
``uploads`` takes them.  Only ``page`` and ``server`` import Gradio.
"""
