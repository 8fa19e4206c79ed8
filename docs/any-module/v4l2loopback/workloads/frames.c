// SPDX-License-Identifier: GPL-2.0-only
/* Writes frames into a video device and reads them from it again: they must be the same. */
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDTH 64
#define HEIGHT 64
#define SIZE (WIDTH * HEIGHT * 3)

static void check(int bad, const char *what)
{
	if (!bad)
		return;
	perror(what);
	exit(1);
}

static int opened(const char *path, enum v4l2_buf_type type)
{
	int file = open(path, O_RDWR);
	struct v4l2_format format = { .type = type };

	check(file < 0, path);
	format.fmt.pix = (struct v4l2_pix_format){ .width = WIDTH,
						   .height = HEIGHT,
						   .pixelformat = V4L2_PIX_FMT_RGB24,
						   .field = V4L2_FIELD_NONE,
						   .bytesperline = WIDTH * 3,
						   .sizeimage = SIZE };
	check(ioctl(file, VIDIOC_S_FMT, &format), "VIDIOC_S_FMT");
	if (format.fmt.pix.width != WIDTH || format.fmt.pix.sizeimage < SIZE) {
		fprintf(stderr, "the device made it %u wide, %u bytes\n", format.fmt.pix.width,
			format.fmt.pix.sizeimage);
		exit(1);
	}
	return file;
}

int main(int argc, char **argv)
{
	static unsigned char sent[SIZE], got[SIZE];
	struct v4l2_capability about;
	int out, in, i, frame;

	if (argc != 2)
		return 2;
	out = opened(argv[1], V4L2_BUF_TYPE_VIDEO_OUTPUT);
	check(ioctl(out, VIDIOC_QUERYCAP, &about), "VIDIOC_QUERYCAP");
	printf("card=%s\n", about.card);
	check(write(out, sent, SIZE) != SIZE, "the first frame");
	in = opened(argv[1], V4L2_BUF_TYPE_VIDEO_CAPTURE);
	check(read(in, got, SIZE) != SIZE, "reading the first frame");
	for (frame = 1; frame <= 5; frame++) {
		for (i = 0; i < SIZE; i++)
			sent[i] = i * frame + (i >> 8);
		check(write(out, sent, SIZE) != SIZE, "writing");
		check(read(in, got, SIZE) != SIZE, "reading");
		if (memcmp(sent, got, SIZE)) {
			fprintf(stderr, "frame %d is not what was written\n", frame);
			return 1;
		}
		printf("frame %d: %d bytes, the same\n", frame, SIZE);
	}
	return 0;
}
