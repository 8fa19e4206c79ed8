/* writers PROCESSES LINES: so many processes write so many lines each, at the same time. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_lines(int count)
{
	int fd = open("/dev/tally", O_WRONLY);

	while (count > 0 && write(fd, "x\n", 2) == 2)
		count--;
	return count != 0;
}

int main(int argc, char **argv)
{
	int processes = argc == 3 ? atoi(argv[1]) : 0, lines = argc == 3 ? atoi(argv[2]) : 0;
	int status, failed = 0;

	for (int i = 0; i < processes; i++)
		if (fork() == 0)
			_exit(write_lines(lines));
	while (wait(&status) > 0)
		failed += status != 0;
	printf("written=%d\n", (processes - failed) * lines);
	return failed != 0;
}
