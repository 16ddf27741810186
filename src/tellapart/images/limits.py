"""What is taken for a picture by its name, and how large one may be."""

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .dib .tif .tiff .avif .heic .heif .ppm .pgm .pbm .jp2 .mpo".split()
)
MAX_PIXELS = 89_478_485  # Pillow's own bomb limit: a quarter of a gigabyte of RGB
RGB_CHANNELS = 3
MAX_CHANNELS = 256  # of one picture; a guess: imaging spectrometers in orbit have some 240
MAX_BYTES = 512 * 2**20  # a guess: no camera writes larger pictures below MAX_PIXELS
MAX_SCANS = 500  # of a JPEG; encoders write about 10, and libjpeg-turbo's own fuzzers stop at 500
