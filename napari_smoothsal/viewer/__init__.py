"""napari: readers, layers, the field of view, the engine process, docks.

Two processes meet here. napari's own holds ``slide_*``, ``map_layer``, ``field_of_view`` and the
docks and never imports torch; the engine process (``engine_main``, ``engine_work``) never imports
napari or Qt. They share ``messages`` and the stores on disk.
"""
