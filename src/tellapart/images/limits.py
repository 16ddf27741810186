"""What is taken for a picture by its name, and how large one may be."""

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .dib .tif .tiff .avif .heic .heif .ppm .pgm .pbm .jp2 .mpo".split()
)
MAX_PIXELS = 89_478_485  # Pillow's own bomb limit: a quarter of a gigabyte of RGB
RGB_CHANNELS = 3
MAX_CHANNELS = 256  # of one picture; a guess: imaging spectrometers in orbit have some 240
MAX_BYTES = 512 * 2**20  # a guess: no camera writes larger pictures below MAX_PIXELS
MAX_SCANS = 500  # of a JPEG; encoders write about 10, and libjpeg-turbo's own fuzzers stop at 500
MAX_SCANNED = 16 * MAX_PIXELS  # pixels of a JPEG times its scans, each of which goes over all of them: two seconds
MAX_TAGS = 10_000  # of the pages of a TIFF that are read, or of an EXIF; Pillow takes 3.5 µs for each. Cameras write about 60
