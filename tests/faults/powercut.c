/* A disk that forgets: preloaded into a process, it copies what each fsync made durable.
 *
 * POWERCUT_ROOT   only files below this folder count
 * POWERCUT_SHADOW folder with three parts: c/INODE content at the last fsync of a file,
 *                 d/INODE the entries of a folder at its last fsync, p/INODE a hard link that
 *                 keeps the inode's number from being used again
 * After a kill, powercut.py puts back exactly what the shadow holds: everything that was
 * written but not synced is gone, names included.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int (*sync_fn)(int);

static int below_root(int fd, char *path) {
    const char *root = getenv("POWERCUT_ROOT");
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (!root || n <= 0) return 0;
    path[n] = 0;
    size_t length = strlen(root);
    return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static void name_in_shadow(char *out, char part, unsigned long inode, const char *suffix) {
    snprintf(out, PATH_MAX, "%s/%c/%lu%s", getenv("POWERCUT_SHADOW"), part, inode, suffix);
}

static void pin(const char *path, unsigned long inode) {
    char held[PATH_MAX];
    name_in_shadow(held, 'p', inode, "");
    if (link(path, held)) return; /* held already, or removed meanwhile */
}

static void publish(unsigned long inode, char part, const char *temporary) {
    char final[PATH_MAX];
    name_in_shadow(final, part, inode, "");
    if (rename(temporary, final)) abort();
}

static void temporary_name(char *out, char part, unsigned long inode) {
    char suffix[64];
    snprintf(suffix, sizeof suffix, ".%d.%lu", getpid(), (unsigned long)pthread_self());
    name_in_shadow(out, part, inode, suffix);
}

static void keep_file(const char *path, unsigned long inode) {
    char temporary[PATH_MAX];
    static __thread char buffer[1 << 16];
    int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0) return; /* unlinked: no name to bring back */
    temporary_name(temporary, 'c', inode);
    int to = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0) abort();
    for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;)
        if (write(to, buffer, n) != n) abort();
    close(from);
    close(to);
    pin(path, inode);
    publish(inode, 'c', temporary);
}

static void keep_folder(const char *path, unsigned long inode) {
    char temporary[PATH_MAX], entry_path[2 * PATH_MAX];
    DIR *folder = opendir(path);
    if (!folder) return;
    temporary_name(temporary, 'd', inode);
    FILE *list = fopen(temporary, "we");
    if (!list) abort();
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat status;
        snprintf(entry_path, sizeof entry_path, "%s/%s", path, entry->d_name);
        if (lstat(entry_path, &status) || !S_ISREG(status.st_mode)) continue;
        pin(entry_path, status.st_ino);
        fprintf(list, "%lu %s\n", (unsigned long)status.st_ino, entry->d_name);
    }
    closedir(folder);
    if (fclose(list)) abort();
    publish(inode, 'd', temporary);
}

static int synced(int fd, int result) {
    char path[PATH_MAX];
    struct stat status;
    if (result || !below_root(fd, path) || fstat(fd, &status)) return result;
    if (S_ISREG(status.st_mode)) keep_file(path, status.st_ino);
    if (S_ISDIR(status.st_mode)) keep_folder(path, status.st_ino);
    return result;
}

int fsync(int fd) { return synced(fd, ((sync_fn)dlsym(RTLD_NEXT, "fsync"))(fd)); }

int fdatasync(int fd) { return synced(fd, ((sync_fn)dlsym(RTLD_NEXT, "fdatasync"))(fd)); }
